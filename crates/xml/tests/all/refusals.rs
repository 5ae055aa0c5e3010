//! What is refused, where, and in which words: one line each.

use mdevkit_core::{Code, DeviceApi, Uuid};
use mdevkit_xml::{
    Eject, Injection, Limits, NewDevice, Pick, Replacement, Screen, XmlError, XmlErrorKind as Kind, complete,
    domain_uuid, eject, inject, primary, read, read_within, refresh,
};

const U: &str = "11111111-0000-0000-0000-000000000001";

/// Document, line and column, what the message says.
#[track_caller]
fn assert_refused(xml: &[u8], line: usize, column: usize, part: &str) -> XmlError {
    let shown = String::from_utf8_lossy(xml);
    let error = read(xml).expect_err(&format!("accepted: {shown}"));
    let message = error.to_string();
    assert!(message.contains(part), "{shown}\nsays: {message}\nnot:  {part}");
    assert_eq!(
        (error.line(), error.column()),
        (Some(line), Some(column)),
        "{shown}\nsays: {message}"
    );
    assert!(message.len() <= 300 && !message.contains('\n'), "{message}");
    let snippet = error.snippet().unwrap();
    assert!(snippet.lines().count() == 2 && snippet.ends_with('^'), "{snippet}");
    for edit in [inject(xml, &[]), eject(xml, &Eject::All)] {
        assert_eq!(edit.expect_err("an edit reads no more than read"), error);
    }
    error
}

#[test]
fn documents_that_are_not_well_formed() {
    let deep = format!("{}{}", "<domain>".repeat(257), "</domain>".repeat(257));
    let namespaces: String = (0..129).map(|n| format!(" xmlns:n{n}='urn:{n}'")).collect();
    let twins: String = (0..20).map(|n| format!(" a{n}='' ")).collect();
    for (xml, line, column, part) in [
        ("", 1, 1, "empty"),
        (" \r\n\t", 1, 1, "empty"),
        ("\u{feff}", 1, 1, "empty"),
        ("<!-- only -->", 1, 14, "there is no element"),
        ("<domain>", 1, 1, "<domain> is never closed"),
        (
            "<domain>\n <name>vm</name>\n <devices>\n",
            3,
            2,
            "<devices> is never closed",
        ),
        ("<domain>\n <a></b></domain>", 2, 5, "</b> closes <a>"),
        ("<domain></domain></domain>", 1, 18, "</domain> closes nothing"),
        ("<domain/><domain/>", 1, 10, "a second root"),
        ("<domain/>\nx", 2, 1, "text outside the root"),
        ("x<domain/>", 1, 1, "text outside the root"),
        ("<domain/>&amp;", 1, 10, "text outside the root"),
        ("<domain/><![CDATA[]]>", 1, 10, "text outside the root"),
        (
            "<domain>\n<a b='1' b=\"2\"/></domain>",
            2,
            10,
            "attribute b stands twice",
        ),
        (
            "<domain><a xmlns:x='u' xmlns:y='u' x:b='' y:b=''/></domain>",
            1,
            43,
            "under two prefixes",
        ),
        ("<domain><x:a/></domain>", 1, 10, "prefix x is not declared"),
        ("<domain><a x:b=''/></domain>", 1, 12, "prefix x is not declared"),
        ("<domain><x:a xmlns:x=''/></domain>", 1, 14, "cannot be declared so"),
        ("<domain xmlns:xml='urn:x'/>", 1, 9, "cannot be declared so"),
        ("<domain xmlns:xmlns='urn:x'/>", 1, 9, "cannot be declared so"),
        ("<domain>&nbsp;</domain>", 1, 9, "&nbsp; is not known"),
        ("<domain a='&nbsp;'/>", 1, 12, "&nbsp; is not known"),
        ("<domain>&#0;</domain>", 1, 9, "not a reference to a character"),
        ("<domain>&#xD800;</domain>", 1, 9, "not a reference to a character"),
        ("<domain>a & b</domain>", 1, 11, "lone '&'"),
        ("<domain a='b & c'/>", 1, 14, "lone '&'"),
        ("<domain a='&'/>", 1, 12, "lone '&'"),
        ("<domain a='<'/>", 1, 12, "cannot hold '<'"),
        ("<domain a/>", 1, 10, "needs a value"),
        ("<domain a=b/>", 1, 10, "needs a value"),
        ("<domain a='1'b='2'/>", 1, 14, "separated by white space"),
        ("<domain 1a=''/>", 1, 9, "not the name of an attribute"),
        ("<domain =''/>", 1, 9, "not the name of an attribute"),
        ("<domain><1d/></domain>", 1, 10, "\"1d\" is not a name"),
        ("<domain><a:b:c/></domain>", 1, 10, "is not a name"),
        ("<domain>< a/></domain>", 1, 10, "is not a name"),
        ("<domain><></domain>", 1, 10, "is not a name"),
        ("<domain>]]></domain>", 1, 9, "cannot hold \"]]>\""),
        ("<domain><!-- a -- b --></domain>", 1, 9, "a comment"),
        ("<domain><!-- a ---></domain>", 1, 9, "a comment"),
        ("<domain><!--></domain>", 1, 9, "comment"),
        ("<domain><!-- a </domain>", 1, 9, "comment not closed"),
        ("<domain><![CDATA[ </domain>", 1, 9, "CDATA not closed"),
        ("<domain><![cdata[ ]]></domain>", 1, 9, "a CDATA section is written"),
        ("<domain><!x></domain>", 1, 9, "unknown or missed symbol"),
        ("<domain><?a </domain>", 1, 9, "not closed"),
        ("<domain><? a?></domain>", 1, 9, "begins with a name"),
        ("<domain><?XML a?></domain>", 1, 9, "at the very start"),
        ("\n<?xml version='1.0'?><domain/>", 2, 1, "at the very start"),
        ("<?xml?><domain/>", 1, 1, "the XML declaration"),
        ("<?xml version='1.1'?><domain/>", 1, 1, "only XML 1.0"),
        (
            "<?xml encoding='UTF-8' version='1.0'?><domain/>",
            1,
            1,
            "the XML declaration",
        ),
        (
            "<?xml version='1.0' standalone='maybe'?><domain/>",
            1,
            1,
            "the XML declaration",
        ),
        ("<?xml version='1.0' encoding='UTF-16'?><domain/>", 1, 1, "says UTF-16"),
        (
            "<?xml version='1.0' encoding='ISO-8859-1'?><domain/>",
            1,
            1,
            "says ISO-8859-1",
        ),
        (
            "<?xml version='1.0' encoding='US-ASCII'?><domain>é</domain>",
            1,
            1,
            "says US-ASCII",
        ),
        ("<!DOCTYPE domain><domain/>", 1, 1, "<!DOCTYPE>"),
        (
            "<!doctype domain [<!ENTITY a 'b'>]><domain>&a;</domain>",
            1,
            1,
            "<!DOCTYPE>",
        ),
        ("<!DOCTYPE domain [<!ENTITY a 'b'>", 1, 1, "<!DOCTYPE>"),
        ("<domain>\n\0</domain>", 2, 1, "XML forbids"),
        ("<domain>\u{1b}[31m</domain>", 1, 9, "XML forbids"),
        ("<domain>\u{ffff}</domain>", 1, 9, "XML forbids"),
        ("<domain><a b='c></domain>", 1, 9, "value not closed"),
        ("<domain><a", 1, 9, "not closed"),
        ("<domain></domain", 1, 9, "not closed"),
        (&deep, 1, 2049, "deeper than 256"),
        (&format!("<domain{namespaces}/>"), 1, 0, "more than 128 namespaces"),
        (&format!("<domain{twins} a7=''/>"), 1, 0, "attribute a7 stands twice"),
    ] {
        let column = if column == 0 {
            read(xml.as_bytes()).unwrap_err().column().unwrap()
        } else {
            column
        };
        let error = assert_refused(xml.as_bytes(), line, column, part);
        assert_eq!(error.code(), Code::Xml, "{error}");
        let accepted = roxmltree::Document::parse(xml).is_ok_and(|it| it.root().children().count() > 0);
        let ours_alone = [
            "deeper",
            "says ",
            "more than 128",
            "only XML",
            "cannot be declared so",
            "not a reference",
            "at the very start",
            "the XML declaration",
        ]
        .iter()
        .any(|stricter| part.contains(stricter));
        assert!(!accepted || ours_alone, "roxmltree accepts {xml}");
    }
}

#[test]
fn bytes_that_are_not_utf_8() {
    assert_refused(b"\xff\xfe<\0d\0", 1, 1, "UTF-16");
    assert_refused(b"\xfe\xff\0<\0d", 1, 1, "UTF-16");
    assert_refused(b"<domain>\n<name>\xe9</name></domain>", 2, 7, "not UTF-8");
    assert_refused(b"<domain>\xed\xa0\x80</domain>", 1, 9, "not UTF-8");
    assert_refused(b"<\0d\0", 1, 2, "XML forbids");
}

#[test]
fn documents_that_are_not_a_domain() {
    for (xml, part) in [
        (
            "<domstatus state='running'><domain/><domain/></domstatus>",
            "<domstatus>, not a libvirt <domain>: it is libvirt's own",
        ),
        ("<domainsnapshot><domain/></domainsnapshot>", "<domainsnapshot>"),
        ("<network/>", "<network>"),
        ("<html/>", "was a page saved"),
        ("<Domain/>", "<Domain>"),
        ("<domain xmlns='urn:x'/>", "stands in a namespace"),
        ("<x:domain xmlns:x='urn:x'/>", "<x:domain>"),
    ] {
        let error = assert_refused(xml.as_bytes(), 1, 1, part);
        assert!(matches!(error.kind(), Kind::NotADomain { .. }));
    }
}

/// libvirt's own files around a domain: no edit touches them.
#[test]
fn status_files_and_snapshots_are_never_touched() {
    let inside = "<domain><uuid>11111111-0000-0000-0000-000000000001</uuid><metadata><r:requests xmlns:r='urn:mdevkit:domain:1' \
                  for='11111111-0000-0000-0000-000000000002'><r:request slot='0' type='a'/></r:requests></metadata><devices>\
                  <graphics/><hostdev type='mdev' model='vfio-pci'><source><address uuid='11111111000000000000000000000003'/>\
                  </source><alias name='ua-mdevkit-0'/></hostdev></devices></domain>";
    for xml in [
        format!("<domstatus state='running' reason='booted' pid='1'>{inside}{inside}</domstatus>"),
        format!("<domainsnapshot><name>s</name>{inside}<inactiveDomain>x</inactiveDomain></domainsnapshot>"),
        format!("<domaincheckpoint>{inside}</domaincheckpoint>"),
        format!("<domains>{inside}</domains>"),
    ] {
        let xml = xml.as_bytes();
        let fresh = || Uuid::from_u128(9);
        let screen = Screen {
            display: Some(true),
            ramfb: None,
        };
        let policy = Replacement::new().policy(None);
        for edit in [
            inject(xml, &[]),
            Injection::new().apply(xml, fresh),
            complete(xml, DeviceApi::VfioPci, fresh),
            eject(xml, &Eject::All),
            refresh(xml, fresh),
            policy.apply(xml, Pick::Only),
            screen.apply(xml, Pick::Only),
            primary(xml, Pick::Only),
        ] {
            let error = edit.unwrap_err();
            assert!(matches!(error.kind(), Kind::NotADomain { .. }), "{error}");
            assert_eq!(error.expected().as_deref(), Some("<domain>"));
        }
        assert!(read(xml).is_err() && domain_uuid(xml).is_err());
    }
}

#[test]
fn hostdevs_of_ours_that_contradict() {
    let hostdev = |slot: u8, source: &str| {
        format!("<hostdev type='mdev' model='vfio-pci'>{source}<alias name='ua-mdevkit-{slot}'/></hostdev>")
    };
    let source = format!("<source><address uuid='{U}'/></source>");
    for (hostdevs, part) in [
        (hostdev(0, ""), "has no <source>"),
        (
            hostdev(0, "<source><address uuid='x'/></source>"),
            "uuid: uuid \"x\" is not valid",
        ),
        (
            hostdev(0, &source)
                + &hostdev(
                    0,
                    "<source><address uuid='aaaaaaaa-0000-4000-8000-000000000000'/></source>",
                ),
            "slot 0 stands twice",
        ),
        (hostdev(0, &source) + &hostdev(1, &source), "stands twice in the domain"),
        (
            format!(
                "<hostdev type='mdev' model='x'>{source}</hostdev>{}",
                hostdev(1, &source)
            ),
            "stands twice in the domain",
        ),
        (
            hostdev(0, &source).replace("vfio-pci", "vfio"),
            "model: device api \"vfio\"",
        ),
    ] {
        let error = read(format!("<domain><devices>{hostdevs}</devices></domain>").as_bytes()).expect_err(&hostdevs);
        assert!(error.to_string().contains(part), "{hostdevs}: {error}");
    }
    // Others' hostdevs are libvirt's to judge.
    for (hostdev, mdev) in [
        (
            "<hostdev type='mdev' model='x'><source><address uuid='x'/></source></hostdev>",
            None,
        ),
        ("<hostdev type='mdev'/>", None),
        (
            "<hostdev type='pci'><source><address domain='0x0000'/></source><alias name='ua-mdevkit-x'/></hostdev>",
            None,
        ),
        (
            "<hostdev mode='capabilities' type='mdev'><source><address uuid='11111111000000000000000000000001'/></source></hostdev>",
            None,
        ),
        (
            "<hostdev type='mdev' model='x'><source><address uuid='11111111000000000000000000000001'/></source></hostdev>",
            Some(U.parse().unwrap()),
        ),
    ] {
        let domain = read(format!("<domain><devices>{hostdev}</devices></domain>").as_bytes()).unwrap();
        assert_eq!(domain.hostdevs[0].mdev(), mdev, "{hostdev}");
    }
}

#[test]
fn limits_are_kept() {
    let limits = Limits {
        bytes: 20,
        depth: 2,
        metadata: 40,
        devices: 1,
    };
    let refused = |xml: &str, limits: &Limits| read_within(xml.as_bytes(), limits).unwrap_err().kind().clone();
    assert_eq!(
        refused("<domain><a/></domain>", &limits),
        Kind::TooBig { size: 21, limit: 20 }
    );
    let wide = Limits { bytes: 1000, ..limits };
    assert_eq!(
        refused("<domain><a><b/></a></domain>", &wide),
        Kind::TooDeep { limit: 2 }
    );
    let big = vec![b' '; (16 << 20) + 1];
    assert_eq!(
        read(&big).unwrap_err().kind(),
        &Kind::TooBig {
            size: (16 << 20) + 1,
            limit: 16 << 20
        }
    );
}

#[test]
fn hostile_documents_take_no_long() {
    let attributes: String = (0..40_000).map(|n| format!(" a{n}=''")).collect();
    let prefixed: String = (0..40_000).map(|n| format!(" x:a{n}=''")).collect();
    let children = "<a xmlns:b='u' b:c=''/>".repeat(40_000);
    let start = std::time::Instant::now();
    assert!(read(format!("<domain{attributes}/>").as_bytes()).is_ok());
    assert!(read(format!("<domain xmlns:x='u'{prefixed}/>").as_bytes()).is_ok());
    assert!(read(format!("<domain>{children}</domain>").as_bytes()).is_ok());
    assert!(read("<domain>".repeat(1_000_000).as_bytes()).is_err());
    assert!(read(format!("<domain>{}", "<!--".repeat(100_000)).as_bytes()).is_err());
    // A quadratic step takes minutes here; this is no measure of speed.
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}

#[test]
fn a_domain_uuid_that_is_none() {
    assert_refused(
        b"<domain><uuid>x</uuid></domain>",
        1,
        15,
        "the domain's <uuid> is not a UUID",
    );
    assert_eq!(read(b"<domain><uuid/></domain>").unwrap().uuid, None);
    assert_eq!(read(b"<domain><uuid></uuid></domain>").unwrap().uuid, None);
    let spelled = format!(
        "<domain><uuid>\n  {}\n</uuid></domain>",
        U.replace('-', "").to_uppercase()
    );
    assert_eq!(read(spelled.as_bytes()).unwrap().uuid, Some(U.parse::<Uuid>().unwrap()));
}

#[test]
fn no_text_of_the_document_is_in_a_message() {
    let xml = String::from("<domain><graphics passwd='secret&x;'/><uuid>secret</uuid></domain>");
    assert!(!read(xml.as_bytes()).unwrap_err().to_string().contains("secret"));
    assert!(!format!("{:?}", read(xml.as_bytes()).unwrap_err()).contains("secret"));
    let device = NewDevice::new("a".parse().unwrap());
    assert!(
        !inject(xml.as_bytes(), &[device])
            .unwrap_err()
            .to_string()
            .contains("secret")
    );
}

#[test]
fn a_report_shows_where_what_and_what_was_expected() {
    let request = |attributes: &str| {
        format!(
            "<domain>\n  <metadata>\n    <m:requests xmlns:m='urn:mdevkit:domain:1'>\n\t<m:request {attributes}/>\n    </m:requests>\n  </metadata>\n</domain>\n"
        )
    };
    for (xml, report) in [
        (
            request("type='a' numa='best'"),
            "vm.xml:4:28: numa: numa \"best\" is not valid: it is strict, prefer or ignore
  |
4 |  <m:request type='a' numa='best'/>
  |                            ^ expected strict, prefer or ignore",
        ),
        (
            request("framebuffer='4G'"),
            "vm.xml:4:26: framebuffer: framebuffer \"4G\" is not valid: it is a number of MiB, 1 or more, in plain digits
  |
4 |  <m:request framebuffer='4G'/>
  |                          ^ expected a number of MiB, 1 or more, in plain digits",
        ),
        (
            request("Type='a'"),
            "vm.xml:4:13: attribute Type is not known in a request; known are: slot, type, class, framebuffer, heads, \
             resolution, profile, uuid, group, policy, parent, numa, apart, params
  |
4 |  <m:request Type='a'/>
  |             ^ expected type",
        ),
        (
            request("slot='0'"),
            "vm.xml:4:2: the request does not say what it wants: it needs a type=\"...\", or the least that will do \
             (class, framebuffer, heads, resolution), or a profile=\"...\"
  |
4 |  <m:request slot='0'/>
  |  ^ expected type=\"...\", or one of class, framebuffer, heads, resolution, or profile=\"...\"",
        ),
        (
            "<domain>\n  <devices>\n</domain>".to_owned(),
            "vm.xml:3:1: </domain> closes <devices>
  |
3 | </domain>
  | ^ expected </devices>",
        ),
        (
            format!("{}<domain>\n <a b=c/>", "<!-- -->\n".repeat(99)),
            "vm.xml:101:6: attribute b needs a value in quotes
    |
101 |  <a b=c/>
    |      ^ expected b=\"...\"",
        ),
        (String::new(), "vm.xml:1:1: the document is empty; a libvirt <domain> was expected\n  = expected <domain>"),
    ] {
        let error = read(xml.as_bytes()).unwrap_err();
        assert_eq!(error.in_file("vm.xml").to_string(), report);
    }
    // Without a place, and with a name that would move the cursor.
    let error = inject(b"<domain/>", &[NewDevice::new("a".parse().unwrap())]).unwrap_err();
    assert_eq!(
        error.in_file("a\u{1b}b").to_string(),
        "a b: the domain has no <uuid> yet: a device's UUID must be given"
    );
    let secret = read(b"<domain><graphics passwd='secret'></domain>").unwrap_err();
    assert!(!format!("{:?}", secret.in_file("vm.xml")).contains("secret"));
}
