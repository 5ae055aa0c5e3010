//! Domain files: what is put in, shown, and taken out.

use crate::lab::{CAD, Lab, read};
use snapbox::{assert_data_eq, str};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

#[test]
fn an_injection_is_told_shown_and_taken_back() {
    let lab = Lab::new(&["v100dx:1"]);
    let file = lab.file("cad.xml", CAD);
    let ran = lab.run(&[
        "inject",
        "--type",
        "V100DX-4Q",
        "--params",
        "disable_vnc=1",
        "--parent",
        "0000:06:00.0",
        "cad.xml",
    ]);
    assert_eq!((ran.status, ran.stdout.as_str()), (0, ""));
    assert_data_eq!(
        ran.stderr,
        str![[r#"
cad.xml: injected slot 0, device 47dd2957-e9a6-5165-b533-17fd48aaa0d8

"#]]
    );
    let ran = lab.run(&["show", "cad.xml"]);
    assert_eq!((ran.status, ran.stderr.as_str()), (0, ""));
    assert_data_eq!(
        ran.stdout,
        str![[r#"
SLOT  WANTS      DEVICE                                HOSTDEV   WHERE         PARAMS
0     V100DX-4Q  47dd2957-e9a6-5165-b533-17fd48aaa0d8  vfio-pci  0000:06:00.0  disable_vnc=1

"#]]
    );
    assert_data_eq!(
        lab.run(&["show", "--json", "cad.xml"]).stdout,
        str![[r#"
{
  "file": "cad.xml",
  "domain_name": "cad",
  "domain_uuid": "8f3a6c1e-5d0b-4b1f-9a57-0c2d4e6f8a10",
  "injected_for": "8f3a6c1e-5d0b-4b1f-9a57-0c2d4e6f8a10",
  "requests": [
    {
      "slot": 0,
      "ask": "V100DX-4Q",
      "type": "V100DX-4Q",
      "class": null,
      "framebuffer": null,
      "heads": null,
      "resolution": null,
      "profile": null,
      "uuid": "47dd2957-e9a6-5165-b533-17fd48aaa0d8",
      "hostdev": true,
      "model": "vfio-pci",
      "group": null,
      "policy": null,
      "parent": "0000:06:00.0",
      "numa": null,
      "apart": null,
      "params": "disable_vnc=1"
    }
  ],
  "warnings": [],
  "problem": null
}

"#]]
    );
    let ran = lab.run(&["eject", "--all", "cad.xml"]);
    assert_data_eq!(
        ran.stderr,
        str![[r#"
cad.xml: ejected slot 0, device 47dd2957-e9a6-5165-b533-17fd48aaa0d8

"#]]
    );
    assert_eq!(read(&file), CAD);
    let ran = lab.run(&["eject", "--all", "cad.xml"]);
    assert_eq!((ran.status, ran.stderr.as_str()), (0, "cad.xml: nothing to change\n"));
}

#[test]
fn stdin_goes_to_stdout_and_a_diff_shows_what_changes() {
    let lab = Lab::new(&["v100dx:1"]);
    let with = lab.run_with(&["inject", "--type", "V100DX-4Q", "-"], CAD.as_bytes());
    assert_eq!(with.status, 0);
    let without = lab.run_with(
        &["eject", "--uuid", "47dd2957-e9a6-5165-b533-17fd48aaa0d8", "-"],
        with.stdout.as_bytes(),
    );
    assert_eq!(without.stdout, CAD);
    let file = lab.file("cad.xml", CAD);
    let ran = lab.run(&["inject", "--type", "V100DX-9Q", "--diff", "--dry-run", "cad.xml"]);
    assert_data_eq!(
        ran.stdout,
        str![[r#"
--- a/cad.xml
+++ b/cad.xml
@@ -1,6 +1,11 @@
 <domain type='kvm'>
   <name>cad</name>
   <uuid>8f3a6c1e-5d0b-4b1f-9a57-0c2d4e6f8a10</uuid>
+  <metadata>
+    <mdevkit:requests xmlns:mdevkit="urn:mdevkit:domain:1" for="8f3a6c1e-5d0b-4b1f-9a57-0c2d4e6f8a10" opened="metadata=created">
+      <mdevkit:request slot="0" type="V100DX-9Q"/>
+    </mdevkit:requests>
+  </metadata>
   <!-- a workstation: one designer -->
   <memory unit='GiB'>8</memory>
   <vcpu placement='static'>4</vcpu>
@@ -18,5 +23,11 @@
       <target dev='vda' bus='virtio'/>
     </disk>
     <graphics type='vnc' port='-1' autoport='yes'/>
+    <hostdev mode='subsystem' type='mdev' managed='no' model='vfio-pci' display='off'>
+      <source>
+        <address uuid='47dd2957-e9a6-5165-b533-17fd48aaa0d8'/>
+      </source>
+      <alias name='ua-mdevkit-0'/>
+    </hostdev>
   </devices>
 </domain>

"#]]
    );
    assert_data_eq!(
        ran.stderr,
        str![[r#"
cad.xml: injected slot 0, device 47dd2957-e9a6-5165-b533-17fd48aaa0d8 (dry run)
warning: this host offers no type V100DX-9Q (see: mdevkit types); the domain can start where one does

"#]]
    );
    assert_eq!(read(&file), CAD, "a dry run");
    let never_defined = b"<domain><name>new</name><devices/></domain>";
    let one = lab.run_with(&["inject", "--type", "mtty-2", "-"], never_defined).stdout;
    let two = lab.run_with(&["inject", "--type", "mtty-2", "-"], never_defined).stdout;
    assert_ne!(one, two, "a domain without a UUID gets a random device");
}

#[test]
fn an_edit_in_place_keeps_mode_owner_and_link() {
    let lab = Lab::new(&["mtty"]);
    let file = lab.file("real.xml", CAD);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::chown(&file, Some(12), Some(34)).unwrap();
    symlink("real.xml", lab.files.path().join("link.xml")).unwrap();
    let inode = fs::metadata(&file).unwrap().ino();
    assert_eq!(lab.run(&["eject", "--all", "link.xml"]).status, 0);
    assert_eq!(
        fs::metadata(&file).unwrap().ino(),
        inode,
        "nothing changed, nothing written"
    );
    assert_eq!(lab.run(&["inject", "--type", "mtty-2", "link.xml"]).status, 0);
    let now = fs::metadata(&file).unwrap();
    assert_ne!(now.ino(), inode, "written beside and renamed");
    assert_eq!((now.mode() & 0o7777, now.uid(), now.gid()), (0o640, 12, 34));
    assert!(
        fs::symlink_metadata(lab.files.path().join("link.xml"))
            .unwrap()
            .is_symlink()
    );
    assert!(read(&file).contains("ua-mdevkit-0"));
    let left: Vec<_> = fs::read_dir(lab.files.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left.len(), 2, "no temporary file is left: {left:?}");
}

#[test]
fn bad_input_is_one_clear_message_and_status_3() {
    let lab = Lab::new(&["mtty"]);
    fs::create_dir(lab.files.path().join("folder")).unwrap();
    for (input, expected) in [
        (
            "<domain>\n  <name>vm</nam>\n</domain>",
            str![[r#"
mdevkit[E-XML]: stdin: line 2, column 11: </nam> closes <name>
    <name>vm</nam>
            ^

"#]],
        ),
        (
            "",
            str![[r#"
mdevkit[E-XML]: stdin: line 1, column 1: the document is empty; a libvirt <domain> was expected

"#]],
        ),
        (
            "<network/>",
            str![[r#"
mdevkit[E-XML]: stdin: line 1, column 1: the document is <network>, not a libvirt <domain>
  <network/>
  ^

"#]],
        ),
        (
            "<!DOCTYPE x><domain/>",
            str![[r#"
mdevkit[E-XML]: stdin: line 1, column 1: <!DOCTYPE> is not accepted; remove it
  <!DOCTYPE x><domain/>
  ^

"#]],
        ),
        (
            "<domain><metadata><m:requests xmlns:m='urn:mdevkit:domain:1'><m:request type='../../x'/></m:requests></metadata></domain>",
            str![[r#"
mdevkit[E-REQUEST]: stdin: line 1, column 79: type: type "../../x" is not valid: an id or a name has letters, digits, '-', '_', '.' and single spaces only
  ...<m:requests xmlns:m='urn:mdevkit:domain:1'><m:request type='../../x'/></m:requests></metadata></domain>
                                                                 ^

"#]],
        ),
    ] {
        let ran = lab.run_with(&["inject", "--type", "mtty-2", "-"], input.as_bytes());
        assert_eq!((ran.status, ran.stdout.as_str()), (3, ""), "{input}");
        assert_data_eq!(ran.stderr, expected);
    }
    for (file, expected) in [
        (
            "missing.xml",
            str![[r#"
mdevkit[E-XML]: cannot read missing.xml: No such file or directory (os error 2)

"#]],
        ),
        (
            "folder",
            str![[r#"
mdevkit[E-XML]: folder is not a regular file; use - for stdin and stdout

"#]],
        ),
    ] {
        let ran = lab.run(&["show", file]);
        assert_eq!((ran.status, ran.stdout.as_str()), (3, ""), "{file}");
        assert_data_eq!(ran.stderr, expected);
    }
    let big = vec![b' '; 16 * 1024 * 1024 + 1];
    let ran = lab.run_with(&["show", "-"], &big);
    assert_eq!(ran.status, 3);
    assert_data_eq!(
        ran.stderr,
        str![[r#"
mdevkit[E-XML]: stdin has more than 16 MiB; a domain has some kilobytes

"#]]
    );
}

#[test]
fn a_clone_is_refused_until_it_is_refreshed() {
    let lab = Lab::new(&["mtty"]);
    let with = lab
        .run_with(&["inject", "--type", "mtty-2", "-"], CAD.as_bytes())
        .stdout;
    let clone = with.replacen("<uuid>8", "<uuid>9", 1);
    let file = lab.file("clone.xml", &clone);
    for command in [
        vec!["plan", "clone.xml"],
        vec!["inject", "--type", "mtty-1", "clone.xml"],
    ] {
        let ran = lab.run(&command);
        assert_eq!(ran.status, 1, "{command:?}");
        assert!(
            ran.stderr.starts_with("mdevkit[E-CLONE]: clone.xml: "),
            "{}",
            ran.stderr
        );
    }
    let ran = lab.run(&["refresh", "clone.xml"]);
    assert_eq!(ran.status, 0);
    assert_data_eq!(
        ran.stderr,
        str![[r#"
clone.xml: refreshed slot 0, device 63a572e0-f17a-5bcd-a4f0-6fc48638184b

"#]]
    );
    assert_eq!(lab.run(&["plan", "clone.xml"]).status, 0);
    assert_ne!(read(&file), clone);
}

#[test]
fn a_request_without_its_hostdev_is_shown_with_what_to_do() {
    let lab = Lab::new(&["mtty"]);
    let by_hand = "<domain><uuid>8f3a6c1e-5d0b-4b1f-9a57-0c2d4e6f8a10</uuid><metadata>\
        <m:requests xmlns:m='urn:mdevkit:domain:1'><m:request type='mtty-2'/></m:requests></metadata><devices/></domain>";
    let ran = lab.run_with(&["show", "-"], by_hand.as_bytes());
    assert_eq!(ran.status, 1);
    assert_data_eq!(
        ran.stdout,
        str![[r#"
SLOT  WANTS   DEVICE  HOSTDEV  WHERE  PARAMS
-     mtty-2  -       missing  -      -

"#]]
    );
    assert_data_eq!(
        ran.stderr,
        str![[r#"
mdevkit[E-NOHOSTDEV]: stdin: the request for mtty-2 has no <hostdev> yet; run: EDITOR='mdevkit inject' virsh edit DOMAIN

"#]]
    );
    let whole = lab.run_with(&["inject", "-"], by_hand.as_bytes());
    assert_eq!(whole.status, 0);
    assert_eq!(
        lab.run_with(&["show", "-"], whole.stdout.as_bytes()).status,
        0,
        "completed"
    );
}
