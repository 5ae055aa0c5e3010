#!/bin/bash
# Builds what the lab boots, from Debian packages only, and prints the folder where it lies:
#
#   vmlinuz, initrd      Debian 13's kernel 6.12, which boots either root
#   root-trixie.img      Debian 13: libvirt 11.3, QEMU 10.0, and the sample mdev drivers built from the same kernel's source
#   root-bookworm.img    Debian 12: libvirt 9.0, QEMU 7.2, the same modules
#   qemu/                Debian 13's QEMU, which runs the lab itself: the host needs none of its own
#
#   usage: build.sh CACHE      (root; needs the packages named in the file `packages`)
#
# A finished build is kept under the hash of this file, so an unchanged recipe costs nothing and a changed one builds anew;
# one that nobody has used for a week goes with the next build.
# Everything but mmdebstrap (compiler, mkfs, busybox, cpio, ...) runs in a Debian 13 of its own, whatever the host is.
set -euo pipefail
self=$(realpath "$0")
mkdir -p "$1"
cache=$(realpath "$1")
out=$cache/$(sha256sum "$self" | cut -c1-16)

exec 9> "$cache/lock"
flock 9 # a second build waits for the first and then finds it done
[ ! -e "$out/done" ] || { touch "$out/done"; echo "$out"; exit 0; }
[ "$(id -u)" = 0 ] || { echo "the lab is built as root (chroot, device nodes)" >&2; exit 2; }
command -v mmdebstrap > /dev/null || { echo "missing packages: apt-get install $(tr '\n' ' ' < "${self%/*}/packages")" >&2; exit 2; }

work=$cache/work
rm -rf --one-file-system "$work"
mkdir -p "$work"
say() { printf '[lab build %2ds] %s\n' "$SECONDS" "$*" >&2; }
give_up() { say "failed; the last lines of each log in $work:"; tail -n 15 "$work"/*.log >&2; }
trap give_up ERR

# The mirror and the way to it (proxy, certificates, expiry of frozen mirrors) are this machine's own.
mirror() {
  apt-get indextargets --format '$(REPO_URI) $(CODENAME)' 'Created-By: Packages' 'Origin: Debian' |
    sed -n 's/ \(bookworm\|trixie\|forky\)$//p' | head -n 1
}
mirror=$(mirror)
[ -n "$mirror" ] || { apt-get update -qq > /dev/null; mirror=$(mirror); } # origins are known only after an update
[ -n "$mirror" ] || { echo "apt has no Debian mirror among its sources" >&2; exit 2; }
# The keys of Debian 13 came to Debian 12 with a point release.
[ -e /usr/share/keyrings/debian-archive-trixie-stable.gpg ] ||
  apt-get install -y -qq --no-install-recommends debian-archive-keyring > "$work/keyring.log" 2>&1
apt-config dump | grep -E '^Acquire::(http|https|ftp|Retries|Check)' > "$work/apt.conf" || true
echo 'APT::Install-Recommends "false"; Acquire::Retries "3";' >> "$work/apt.conf"

bootstrap() { # bootstrap NAME SUITE VARIANT PACKAGES [OPTION...]
  local name=$1 suite=$2 variant=$3 packages=$4
  shift 4
  mmdebstrap --variant="$variant" --include="$packages" --aptopt="$work/apt.conf" \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    "$@" "$suite" "$work/$name" "$mirror" > "$work/$name.log" 2>&1
}

guest=libvirt-daemon,libvirt-daemon-driver-qemu,libvirt-clients,qemu-system-x86,mdevctl,kmod,udev,util-linux
# What libvirt-daemon-system's installation would add; that package would also bring systemd.
users='groupadd -r -f kvm; getent passwd libvirt-qemu || { groupadd -f -g 64055 libvirt-qemu;
  useradd -u 64055 -g kvm -d /var/lib/libvirt -s /usr/sbin/nologin libvirt-qemu; }; useradd -m -G kvm -s /bin/sh guest'
customize="--customize-hook=chroot \"\$1\" sh -c '$users'"
root_fs() { # root_fs SUITE [PACKAGE...]
  local suite=$1
  shift
  bootstrap "root-$suite" "$suite" minbase "$(IFS=,; echo "$guest${*:+,$*}")" "$customize"
}

# Headers as a package; the kernel itself and its source only as files, to be taken apart below.
kernel='kv=$(basename "$1"/usr/src/linux-headers-*-amd64); kv=${kv#linux-headers-}; sv=$(echo "$kv" | cut -d. -f1,2)
  mkdir "$1/lab"; cd "$1/lab"; APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get download "linux-image-$kv" "linux-source-$sv"; echo "$kv" > kv'
builder() {
  bootstrap builder trixie apt linux-headers-amd64,make,xz-utils,kmod,busybox-static,cpio,e2fsprogs "--customize-hook=$kernel"
}

say "mirror $mirror"
root_fs trixie libvirt-daemon-driver-nodedev & trixie=$! # Debian 12 has it in libvirt-daemon
builder & kernel_root=$!
wait "$trixie"; say "Debian 13 with libvirt"
root_fs bookworm & bookworm=$!
wait "$kernel_root"; say "compiler and kernel"

cat > "$work/builder/lab/modules.sh" <<'IN_BUILDER'
set -eu
cd /lab
kv=$(cat kv)
dpkg-deb --fsys-tarfile linux-image-*.deb | tar x -C / --keep-directory-symlink
cp "/boot/vmlinuz-$kv" vmlinuz
# The sample drivers are in the source and not in Debian's kernel.
dpkg-deb --fsys-tarfile linux-source-*.deb | tar xO --wildcards './usr/src/linux-source-*.tar.xz' | xz -dc -T0 |
  tar x --strip-components=1 --wildcards '*/samples/vfio-mdev/*'
make -s -C "/lib/modules/$kv/build" M=/lab/samples/vfio-mdev \
  CONFIG_SAMPLE_VFIO_MDEV_MTTY=m CONFIG_SAMPLE_VFIO_MDEV_MDPY=m CONFIG_SAMPLE_VFIO_MDEV_MBOCHS=m modules
mkdir -p "/lib/modules/$kv/extra"
cp samples/vfio-mdev/*.ko "/lib/modules/$kv/extra/"
strip -g "/lib/modules/$kv/extra/"*.ko
depmod "$kv"
with_dependencies() { for m in "$@"; do modprobe -S "$kv" --show-depends "$m"; done | sed -n 's/^insmod //p' | awk '!seen[$1]++ { print $1 }'; }

# The initrd mounts the read-only image below an overlay in memory: each boot starts pristine, several may share one image.
mkdir -p ird/bin ird/m ird/lower ird/upper ird/root ird/dev
cp /bin/busybox ird/bin/
n=100
for f in $(with_dependencies virtio_blk ext4 9pnet_virtio 9p overlay); do
  n=$((n + 1))
  case $f in *.xz) xz -dc "$f" > "ird/m/$n-$(basename "$f" .xz)" ;; *) cp "$f" "ird/m/$n-$(basename "$f")" ;; esac
done
cat > ird/init <<'INIT'
#!/bin/busybox sh
B=/bin/busybox
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
$B mount -t devtmpfs dev /dev
for m in /m/*.ko; do $B insmod $m; done
$B mount -t ext4 -o ro,noatime /dev/vda /lower
$B mount -t tmpfs -o mode=755 upper /upper
$B mkdir /upper/u /upper/w
$B mount -t overlay -o lowerdir=/lower,upperdir=/upper/u,workdir=/upper/w root /root
R=/root
$B mount --move /dev $R/dev
$B mount -t proc proc $R/proc
$B mount -t sysfs sysfs $R/sys
$B mkdir -p $R/dev/pts $R/dev/shm $R/share
$B mount -t devpts devpts $R/dev/pts
$B mount -t tmpfs shm $R/dev/shm
$B mount -t cgroup2 none $R/sys/fs/cgroup
$B mount -t tmpfs -o mode=755 run $R/run
$B mount -t tmpfs tmp $R/tmp
$B mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144 share $R/share
exec $B switch_root $R /bin/sh /share/init
INIT
chmod +x ird/init
(cd ird && find . | cpio -o -H newc --quiet | gzip -1) > initrd

IN_BUILDER

# $1: the suite whose bootstrapped root lies at /lab/root-SUITE; it becomes one file, with the modules that it may load.
cat > "$work/builder/lab/image.sh" <<'IN_BUILDER'
set -eu
cd /lab
kv=$(cat kv)
r=/lab/root-$1
mkdir -p "$r/usr/lib/modules/$kv"
for m in mtty mdpy mbochs vfio_pci vfio_iommu_type1 tun fuse; do modprobe -S "$kv" --show-depends "$m"; done | sed -n 's/^insmod //p' | sort -u |
  while read -r f; do
    d=$r/usr/lib/modules/${f#*/modules/}
    mkdir -p "${d%/*}"
    cp "$f" "$d"
  done
cp "/lib/modules/$kv/"modules.builtin "/lib/modules/$kv/"modules.order "/lib/modules/$kv/"modules.builtin.modinfo "$r/usr/lib/modules/$kv/"
depmod -b "$r" "$kv"
rm -rf "$r"/var/cache/apt/* "$r"/var/lib/apt/lists/*
mkfs.ext4 -q -O ^has_journal -d "$r" "root-$1.img" "$(($(du -sm "$r" | cut -f1) * 12 / 10 + 64))M"
IN_BUILDER
in_builder() { local script=$1; shift; chroot "$work/builder" sh "/lab/$script.sh" "$@" > "$work/$script.log" 2>&1; }
image() { mv "$work/root-$1" "$work/builder/lab/"; in_builder image "$1"; say "Debian image: $1"; }

in_builder modules; say "modules and initrd"
image trixie
wait "$bookworm"
image bookworm

rm -rf --one-file-system "$out"
mkdir "$out"
b=$work/builder/lab
mv "$b/vmlinuz" "$b/initrd" "$b/root-trixie.img" "$b/root-bookworm.img" "$out/"
mv "$b/root-trixie" "$out/qemu"
touch "$out/done"
# Another checkout's recipe may be in use at this moment: only what nobody has asked for in a week goes.
find "$cache" -mindepth 2 -maxdepth 2 -name done -mtime +7 -printf '%h\0' | xargs -0 -r rm -rf --one-file-system
rm -rf --one-file-system "$work"
say "done: $(du -sh "$out" | cut -f1)"
echo "$out"
