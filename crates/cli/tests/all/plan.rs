//! Plans of one domain and of several.

use crate::lab::{CAD, Lab, read};
use snapbox::{assert_data_eq, str};

#[test]
fn a_plan_says_where_and_creates_nothing() {
    let lab = Lab::new(&["v100dx:2", "mtty"]);
    let file = lab.file("cad.xml", CAD);
    lab.run(&[
        "inject",
        "--type",
        "V100DX-4Q",
        "--count",
        "2",
        "--policy",
        "spread",
        "cad.xml",
    ]);
    lab.run(&["inject", "--type", "mtty-2", "cad.xml"]);
    let ran = lab.run_with(&["plan", "cad.xml", "-"], CAD.as_bytes());
    assert_eq!(ran.status, 0);
    assert_data_eq!(
        ran.stdout,
        str![[r#"
FILE     DOMAIN  SLOT  UUID                                  TYPE        PARENT
cad.xml  cad     0     47dd2957-e9a6-5165-b533-17fd48aaa0d8  nvidia-196  0000:06:00.0
cad.xml  cad     1     d59aa869-7706-575c-927f-b9d11e4ee828  nvidia-196  0000:07:00.0
cad.xml  cad     2     0fa23640-41a4-5305-9a22-b191ffc9a65d  mtty-2      mtty

"#]]
    );
    assert_data_eq!(
        ran.stderr,
        str![[r#"
stdin: asks for nothing

"#]]
    );
    let ran = lab.run_with(&["plan", "-", "missing.xml", "cad.xml"], b"<domain>");
    assert_eq!(ran.status, 3, "one bad file hides no other");
    assert_eq!(
        (
            ran.stdout.lines().count(),
            ran.stderr.matches("mdevkit[E-XML]: ").count()
        ),
        (1 + 3, 2),
        "{}",
        ran.stderr
    );
    let ran = lab.run_with(&["--json", "plan", "-"], read(&file).as_bytes());
    assert_data_eq!(
        ran.stdout,
        str![[r#"
[
  {
    "file": "stdin",
    "domain_name": "cad",
    "domain_uuid": "8f3a6c1e-5d0b-4b1f-9a57-0c2d4e6f8a10",
    "devices": [
      {
        "slot": 0,
        "uuid": "47dd2957-e9a6-5165-b533-17fd48aaa0d8",
        "type": "nvidia-196",
        "parent": "0000:06:00.0",
        "pgpu": "0000:06:00.0",
        "because": "breadth-first (the request's policy): 2 GPUs had room; this one was empty, with room for 8",
        "exists": false
      },
      {
        "slot": 1,
        "uuid": "d59aa869-7706-575c-927f-b9d11e4ee828",
        "type": "nvidia-196",
        "parent": "0000:07:00.0",
        "pgpu": "0000:07:00.0",
        "because": "breadth-first (the request's policy): 2 GPUs had room; this one was empty, with room for 8",
        "exists": false
      },
      {
        "slot": 2,
        "uuid": "0fa23640-41a4-5305-9a22-b191ffc9a65d",
        "type": "mtty-2",
        "parent": "mtty",
        "pgpu": "mtty",
        "because": "depth-first (the host's policy): only this GPU had room, with room for 12",
        "exists": false
      }
    ],
    "warnings": [],
    "refusal": null
  }
]

"#]]
    );
    assert!(lab.sim.handle().devices().is_empty());
}
