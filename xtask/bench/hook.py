"""A libvirt hook that does what mdevkit-hook does at prepare and release, as one would write it in Python: read the
domain, find a parent with room for each request, create, wait until it is ready, remember whose it is."""
import fcntl
import json
import os
import sys
import time
import xml.etree.ElementTree as ET

NS = "{urn:mdevkit:domain:1}"
ROOT = os.environ.get("MDEVKIT_ROOT", "/")
BUS = os.path.join(ROOT, "sys/class/mdev_bus")
DEVICES = os.path.join(ROOT, "sys/bus/mdev/devices")
STATE = os.path.join(ROOT, "run/hook-py")


def read(*path):
    with open(os.path.join(*path)) as file:
        return file.read().strip()


def type_of(wanted):
    for parent in sorted(os.listdir(BUS)):
        types = os.path.join(BUS, parent, "mdev_supported_types")
        for type_id in sorted(os.listdir(types)):
            name = read(types, type_id, "name")
            if wanted in (type_id, name) or name.split()[-1] == wanted:
                return type_id
    sys.exit(f"no type {wanted}")


def place(type_id):
    best = None
    for parent in sorted(os.listdir(BUS)):
        folder = os.path.join(BUS, parent, "mdev_supported_types", type_id)
        if os.path.isdir(folder):
            room = int(read(folder, "available_instances"))
            if room > 0 and (best is None or room < best[0]):
                best = room, folder
    if best is None:
        sys.exit(f"no {type_id} left")
    return best[1]


def load():
    try:
        with open(os.path.join(STATE, "ledger.json")) as file:
            return json.load(file)
    except FileNotFoundError:
        return {}


def save(ledger):
    new = os.path.join(STATE, "ledger.new")
    with open(new, "w") as file:
        json.dump(ledger, file)
    os.rename(new, os.path.join(STATE, "ledger.json"))


def ready(uuid):
    device = os.path.join(DEVICES, uuid)
    for _ in range(300):
        if os.path.islink(os.path.join(device, "mdev_type")) and os.path.islink(os.path.join(device, "iommu_group")):
            group = os.path.basename(os.readlink(os.path.join(device, "iommu_group")))
            if os.path.exists(os.path.join(ROOT, "dev/vfio", group)):
                return
        time.sleep(0.01)
    sys.exit(f"{uuid} is not ready")


def main():
    operation = sys.argv[2]
    if operation not in ("prepare", "release"):
        return
    domain = ET.fromstring(sys.stdin.buffer.read())
    requests = domain.findall(f"metadata/{NS}requests/{NS}request")
    if not requests:
        return
    os.makedirs(STATE, exist_ok=True)
    with open(os.path.join(STATE, "lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ledger = load()
        owner = domain.findtext("uuid")
        if operation == "release":
            for uuid in [uuid for uuid, of in ledger.items() if of == owner]:
                with open(os.path.join(DEVICES, uuid, "remove"), "w") as file:
                    file.write("1")
                del ledger[uuid]
            save(ledger)
            return
        for request in requests:
            alias = f"ua-mdevkit-{request.get('slot')}"
            hostdev = next(dev for dev in domain.findall("devices/hostdev") if dev.find("alias").get("name") == alias)
            uuid = hostdev.find("source/address").get("uuid")
            folder = place(type_of(request.get("type")))
            ledger[uuid] = owner
            save(ledger)
            with open(os.path.join(folder, "create"), "w") as file:
                file.write(uuid)
            ready(uuid)


main()
