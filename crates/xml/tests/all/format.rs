//! Requests that break the format: each is refused, with its place.

use mdevkit_core::Code;
use mdevkit_xml::{may_concern_us, read};

const U: &str = "11111111-0000-0000-0000-000000000001";

#[test]
fn requests_that_break_the_format() {
    let request = |attributes: &str| format!("<r:request {attributes}/>");
    let many: String = (0..17).map(|n| request(&format!("slot='{n}' type='a'"))).collect();
    for (inside, part) in [
        (
            request("type='a' count='2'"),
            "attribute count is not known in a request; known are: slot, type, class, framebuffer, heads, resolution, \
             profile, uuid, group, policy, parent, numa, apart, params",
        ),
        (request("type='a' Slot='1'"), "attribute Slot"),
        (request("type='a' r:slot='1'"), "attribute r:slot"),
        (request("slot='1'"), "does not say what it wants: it needs a type"),
        (request("group='a' numa='strict'"), "does not say what it wants"),
        (request("type='a' class='Q'"), "for a type or for the least"),
        (request("heads='1' type='a'"), "for a type or for the least"),
        (request("type='a' profile='b'"), "for a profile or for a type"),
        (request("framebuffer='1024' profile='b'"), "for a profile or for class"),
        (
            request("type='a' framebuffer='1024' profile='b'"),
            "for a type or for the least",
        ),
        (request("class='q'"), "class: class \"q\" is not valid"),
        (request("class='Q,B'"), "class: "),
        (
            request("framebuffer='0'"),
            "framebuffer: framebuffer \"0\" is not valid: it is a number of MiB",
        ),
        (request("framebuffer='4G'"), "framebuffer: "),
        (request("framebuffer='04096'"), "framebuffer: "),
        (request("framebuffer='+1'"), "framebuffer: "),
        (request("framebuffer='4294967296'"), "framebuffer: "),
        (request("framebuffer=''"), "framebuffer: "),
        (request("heads='-1'"), "heads: "),
        (request("heads='0x2'"), "heads: "),
        (request("resolution='1920'"), "resolution: "),
        (request("resolution='1920X1080'"), "resolution: "),
        (request("resolution='1920x0'"), "resolution: "),
        (request("resolution='1920x1080x2'"), "resolution: "),
        (request("profile='cad large'"), "profile: "),
        (request("type='a' group=''"), "group: "),
        (request("type='a' numa='Strict'"), "numa: "),
        (
            request("type='a' apart='true'"),
            "apart: apart \"true\" is not valid: it is yes or no",
        ),
        (request("type='../../x'"), "type: type \"../../x\" is not valid"),
        (request("type=''"), "type: "),
        (request("type='a' slot='01'"), "slot: "),
        (request("type='a' slot='256'"), "slot: "),
        (request("type='a' policy='best'"), "policy: "),
        (request("type='a' parent='../x'"), "parent: "),
        (request("type='a' params='exec=1'"), "params: "),
        (request("type='a' uuid='123'"), "uuid: "),
        (
            request("type='a' slot='1'") + &request("type='b' slot='1'"),
            "slot 1 stands twice",
        ),
        (
            request(&format!("type='a' uuid='{U}'")) + &request(&format!("type='b' uuid='{}'", U.replace('-', ""))),
            "stands twice",
        ),
        ("<r:request type='a'><r:x/></r:request>".into(), "no elements inside"),
        ("<r:request type='a'>x</r:request>".into(), "text inside the requests"),
        ("<r:want type='a'/>".into(), "<r:want> is not known here"),
        (
            "<request type='a'/>".into(),
            "<request> is not known here; known is <request> in our namespace",
        ),
        ("words".into(), "text inside the requests"),
        ("&#32;".into(), "text inside the requests"),
        ("<![CDATA[ ]]>".into(), "text inside the requests"),
        (many, "17 devices are asked for; a domain may have 16"),
        ("<!-- ".to_owned() + &"x".repeat(65536) + " -->", "65"),
    ] {
        let xml = format!(
            "<domain><metadata><r:requests xmlns:r='urn:mdevkit:domain:1'>{inside}</r:requests></metadata></domain>"
        );
        let error = read(xml.as_bytes()).expect_err(&inside);
        assert!(error.to_string().contains(part), "{inside}: {error}");
        assert!(error.line() == Some(1) && error.column() > Some(17), "{error}");
        assert_eq!(error.code(), Code::Request, "{error}");
        assert!(may_concern_us(xml.as_bytes()));
    }
    for (metadata, part) in [
        (
            "<r:requests xmlns:r='urn:mdevkit:domain:1'/><q:requests xmlns:q='urn:mdevkit:domain:1'/>",
            "a second <requests>",
        ),
        (
            "<r:request xmlns:r='urn:mdevkit:domain:1' type='a'/>",
            "<r:request> is not known here; known is <requests>",
        ),
        (
            "<requests xmlns='urn:mdevkit:domain:1' for='x'/>",
            "for: uuid \"x\" is not valid",
        ),
        (
            "<requests xmlns='urn:mdevkit:domain:1' mode='x'/>",
            "attribute mode is not known",
        ),
        (
            "<requests xmlns='urn:mdevkit:domain:1' opened='?'/>",
            "opened is mdevkit's own note",
        ),
    ] {
        let xml = format!("<domain><metadata>{metadata}</metadata></domain>");
        let error = read(xml.as_bytes()).expect_err(metadata);
        assert!(error.to_string().contains(part), "{metadata}: {error}");
        assert_eq!(error.code(), Code::Request);
    }
}
