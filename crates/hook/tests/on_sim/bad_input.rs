//! Whatever comes, the answer is one clear line and a status, and nothing is created or removed.

use crate::common::{Fixture, by_hand, device, domain, domain_uuid, hostdev, plain, requests};

#[test]
fn xml_that_is_none() {
    let good = domain(1, &["mtty-1"]);
    let with = |change: &dyn Fn(&str) -> String| change(&good).into_bytes();
    let deep = format!("{}{}", "<a>".repeat(300), "</a>".repeat(300));
    for (story, stdin) in [
        ("nothing", Vec::new()),
        ("truncated", with(&|xml| xml[..xml.len() - 20].to_owned())),
        ("two roots", with(&|xml| format!("{xml}{xml}"))),
        ("text after the root", with(&|xml| format!("{xml}tail"))),
        (
            "a document type",
            with(&|xml| format!("<!DOCTYPE domain [<!ENTITY a 'b'>]>{xml}")),
        ),
        ("an unknown entity", with(&|xml| xml.replace("d1", "&evil;"))),
        (
            "too deep",
            with(&|xml| xml.replace("</domain>", &format!("{deep}</domain>"))),
        ),
        (
            "declared as UTF-16",
            with(&|xml| format!("<?xml version='1.0' encoding='UTF-16'?>{xml}")),
        ),
        (
            "not UTF-8",
            with(&|xml| xml.to_owned())
                .into_iter()
                .chain(*b"<!-- \xff\xfe -->")
                .collect(),
        ),
        ("a NUL", with(&|xml| xml.replace("d1", "d\0"))),
        (
            "not a domain",
            with(&|xml| xml.replace("<domain ", "<network ").replace("</domain>", "</network>")),
        ),
        (
            "too long",
            with(&|xml| format!("{xml}{}", " ".repeat(16 * 1024 * 1024))),
        ),
    ] {
        let fixture = Fixture::new(&["mtty"]);
        fixture
            .call(&["d1", "prepare", "begin", "-"], &stdin)
            .failed(3, "E-XML");
        fixture.untouched();
        println!("{story}: refused");
    }
}

#[test]
fn requests_that_are_none() {
    let uuid = device(1, 0);
    let one = |attributes: &str| requests("", &format!("<m:request {attributes}/>"));
    let ours = |slot: &str| hostdev(uuid, &format!("<alias name='ua-mdevkit-{slot}'/>"));
    let twice = r#"<m:request slot="0" type="mtty-1"/>"#.repeat(2);
    let two = format!(r#"<m:request type="mtty-1" uuid="{uuid}"/>"#).repeat(2);
    let many = (0..17)
        .map(|slot| format!(r#"<m:request slot="{slot}" type="mtty-1"/>"#))
        .collect::<String>();
    for (story, xml) in [
        ("no type", by_hand(1, &one(r#"slot="0""#), &ours("0"))),
        (
            "an unknown attribute",
            by_hand(1, &one(r#"slot="0" type="mtty-1" colour="blue""#), &ours("0")),
        ),
        (
            "a path as type",
            by_hand(1, &one(r#"slot="0" type="../../x""#), &ours("0")),
        ),
        ("an empty type", by_hand(1, &one(r#"slot="0" type="""#), &ours("0"))),
        ("a bad uuid", by_hand(1, &one(r#"type="mtty-1" uuid="1234""#), "")),
        ("a bad slot", by_hand(1, &one(r#"slot="x" type="mtty-1""#), "")),
        ("a slot too high", by_hand(1, &one(r#"slot="256" type="mtty-1""#), "")),
        (
            "a bad policy",
            by_hand(1, &one(r#"slot="0" type="mtty-1" policy="best""#), &ours("0")),
        ),
        (
            "bad params",
            by_hand(1, &one(r#"slot="0" type="mtty-1" params="a=b""#), &ours("0")),
        ),
        ("a slot twice", by_hand(1, &requests("", &twice), &ours("0"))),
        ("a device twice", by_hand(1, &requests("", &two), &hostdev(uuid, ""))),
        ("too many", by_hand(1, &requests("", &many), "")),
        ("a bad `for`", by_hand(1, &requests(r#"for="me""#, ""), "")),
        ("an unknown element", by_hand(1, &requests("", "<m:wish/>"), "")),
        (
            "two of our elements",
            by_hand(1, &one(r#"type="mtty-1""#).repeat(2), ""),
        ),
    ] {
        let fixture = Fixture::new(&["mtty"]);
        fixture.prepare("d1", &xml).failed(3, "E-REQUEST");
        assert!(fixture.devices().is_empty(), "{story}");
        println!("{story}: refused");
    }
}

#[test]
fn a_type_that_is_not_here() {
    let fixture = Fixture::new(&["mtty"]);
    let answer = fixture.prepare("d1", &domain(1, &["mtty-7"]));
    assert!(answer.failed(1, "E-TYPE").contains("mtty-7"));
    assert!(fixture.devices().is_empty());
}

#[test]
fn fewer_arguments() {
    let fixture = Fixture::new(&["mtty"]);
    for args in [
        &[][..],
        &["d1"],
        &["d1", "prepare"],
        &["d1", "prepare", "begin"],
        &["d1", "release"],
    ] {
        fixture
            .call(args, domain(1, &["mtty-1"]).as_bytes())
            .failed(2, "E-USAGE");
    }
    fixture.untouched();
}

#[test]
fn release_takes_no_part_in_any_of_it() {
    let fixture = Fixture::new(&["mtty"]);
    let xml = domain(1, &["mtty-1"]);
    fixture.prepare("d1", &xml).done();
    for stdin in [
        "",
        "<broken",
        "<network/>",
        &plain(2),
        &xml.replace(&domain_uuid(1).to_string(), "no-uuid"),
    ] {
        fixture.release("d1", stdin).done();
        assert_eq!(fixture.devices(), [device(1, 0)]);
    }
}

#[test]
fn a_state_directory_that_cannot_be_used() {
    let fixture = Fixture::new(&["mtty"]);
    fixture.put("run/mdevkit", "a file where a directory should be");
    fixture.prepare("d1", &domain(1, &["mtty-1"])).failed(4, "E-LEDGER");
    fixture.release("d1", &domain(1, &["mtty-1"])).done();
    fixture.prepare("d2", &plain(2)).done();
    assert!(fixture.devices().is_empty());
}

#[test]
fn the_reaper_removes_nothing_that_is_not_being_released() {
    let fixture = Fixture::new(&["mtty"]);
    fixture.prepare("d1", &domain(1, &["mtty-1"])).done();
    let root = fixture.path("");
    let root = root.to_str().unwrap();
    for uuid in [device(1, 0).to_string(), device(2, 0).to_string(), "../../x".to_owned()] {
        assert_ne!(fixture.call(&["__reap", &uuid, root], b"").status, 0);
    }
    assert_eq!(fixture.devices(), [device(1, 0)]);
}
