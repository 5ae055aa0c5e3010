//! How an edit is shown, and that it is all that changes.

use crate::common::{SHOWN as XML, device, fixture, fixtures, others, spec, text};
use mdevkit_core::{Request, Uuid};
use mdevkit_xml::{Eject, Injection, Pick, Replacement, Screen, eject, inject, read};

/// Applies a unified diff, believing nothing of it.
fn patch(before: &str, diff: &str) -> String {
    let old: Vec<&str> = before.split_inclusive('\n').collect();
    let (mut output, mut at, mut lines) = (String::new(), 0, 0);
    let mut left = (0, 0);
    let mut rest = diff.split_inclusive('\n').skip(2).peekable();
    while let Some(line) = rest.next() {
        if let Some(header) = line.strip_prefix("@@ -") {
            assert_eq!(left, (0, 0), "a hunk ended early");
            let numbers: Vec<usize> = header
                .trim_end_matches(" @@\n")
                .split([',', ' ', '+'])
                .filter(|part| !part.is_empty())
                .map(|part| part.parse().unwrap())
                .collect();
            let [start, old_count, new_start, new_count] = numbers[..] else {
                panic!("{line}")
            };
            let from = if old_count == 0 { start } else { start - 1 };
            for kept in &old[at..from] {
                output.push_str(kept);
                lines += 1;
            }
            at = from;
            assert_eq!(if new_count == 0 { new_start } else { new_start - 1 }, lines, "{line}");
            left = (old_count, new_count);
            continue;
        }
        let (sign, mut text) = line.split_at(1);
        if rest.peek().is_some_and(|next| next.starts_with('\\')) {
            assert_eq!(rest.next(), Some("\\ No newline at end of file\n"));
            text = text.strip_suffix('\n').unwrap();
        }
        if sign != "+" {
            assert_eq!(old[at], text);
            at += 1;
            left.0 -= 1;
        }
        if sign != "-" {
            output.push_str(text);
            lines += 1;
            left.1 -= 1;
        }
    }
    assert_eq!(left, (0, 0), "the last hunk ended early");
    output.extend(old[at..].iter().copied());
    output
}

#[test]
fn a_diff_makes_the_output_of_the_input() {
    let mut next = 0;
    for (name, xml) in fixtures() {
        let xml = String::from_utf8(xml).unwrap();
        let mut fresh = || {
            next += 1;
            Uuid::from_u128(next)
        };
        let injection = Injection::new().more().devices(device("a"), 2);
        let edited = injection.apply(xml.as_bytes(), &mut fresh).unwrap();
        let with = text(&edited);
        let picked = Pick::Slot(edited.devices()[1].0);
        for (before, edit) in [
            (&xml, edited),
            (&with, eject(with.as_bytes(), &Eject::All).unwrap()),
            (
                &with,
                Replacement::new()
                    .ask(spec("b"))
                    .apply(with.as_bytes(), picked)
                    .unwrap(),
            ),
            (&xml, inject(xml.as_bytes(), &[]).unwrap()),
        ] {
            let diff = edit.diff(before.as_bytes(), "a", "b").unwrap();
            assert_eq!(diff.is_empty(), !edit.changed(), "{name}");
            if edit.changed() {
                assert!(diff.starts_with("--- a\n+++ b\n@@ -"), "{diff}");
                assert_eq!(patch(before, &diff), text(&edit), "{name}:\n{diff}");
            }
        }
    }
}

#[test]
fn a_diff_shows_no_more_than_it_must() {
    let edited = inject(XML.as_bytes(), &[device("a")]).unwrap();
    assert_eq!(
        edited.diff(XML.as_bytes(), "vm.xml", "vm.xml (edited)").unwrap(),
        "--- vm.xml
+++ vm.xml (edited)
@@ -1,10 +1,21 @@
 <domain>
   <uuid>11111111-0000-0000-0000-000000000001</uuid>
+  <metadata>
+    <mdevkit:requests xmlns:mdevkit=\"urn:mdevkit:domain:1\" for=\"11111111-0000-0000-0000-000000000001\" opened=\"metadata=created\">
+      <mdevkit:request slot=\"0\" type=\"a\"/>
+    </mdevkit:requests>
+  </metadata>
   <devices>
     <graphics type='vnc'/>
     <video>
       <model type='virtio'/>
     </video>
+    <hostdev mode='subsystem' type='mdev' managed='no' model='vfio-pci' display='off'>
+      <source>
+        <address uuid='8dd3f6b4-5ee8-5c9c-9b5b-5d2bb0e8a0d5'/>
+      </source>
+      <alias name='ua-mdevkit-0'/>
+    </hostdev>
     <memballoon/>
   </devices>
 </domain>
"
        .replace("8dd3f6b4-5ee8-5c9c-9b5b-5d2bb0e8a0d5", &edited.devices()[0].1.to_string())
    );
    let far = fixture("recorded/libvirt-11.3.0-prepare.xml");
    let edited = inject(&far, &[device("a")]).unwrap();
    let diff = edited.diff(&far, "a", "b").unwrap();
    assert_eq!(diff.matches("\n@@ ").count(), 2, "{diff}");
    assert_eq!(edited.diff(XML.as_bytes(), "a", "b"), None, "another document");
    assert_eq!(edited.diff(b"\xff", "a", "b"), None);
}

#[test]
fn nothing_else_changes() {
    for (name, xml) in fixtures() {
        let Ok(with) = Injection::new()
            .more()
            .device(device("a"))
            .apply(&xml, || Uuid::from_u128(7))
        else {
            panic!("{name}")
        };
        let pick = Pick::Slot(with.devices()[0].0);
        let change = Replacement::new()
            .ask(spec("b"))
            .group(Some("g".parse().unwrap()))
            .apply(with.bytes(), pick)
            .unwrap();
        assert_eq!(others(change.bytes()), others(&xml), "{name}");
        let ramfb = Screen {
            display: None,
            ramfb: Some(true),
        };
        let shown = ramfb.apply(with.bytes(), pick).unwrap();
        assert_eq!(others(shown.bytes()), others(&xml), "{name}");
        let request = |xml: &[u8]| -> Option<Request> { read(xml).unwrap().requests?.requests.pop() };
        assert!(
            request(change.bytes()).is_some() && request(shown.bytes()).is_some(),
            "{name}"
        );
    }
}

#[test]
fn what_is_printed_for_developers_holds_no_document() {
    let xml = XML.replace("type='vnc'", "type='vnc' passwd='secret'");
    let edited = inject(xml.as_bytes(), &[device("a")]).unwrap();
    assert!(!format!("{edited:?}").contains("secret"));
}
