//! Devices made by hand, and refusals.

use crate::lab::{CAD, Lab};
use mdevkit_sim::{Fault, Target};
use snapbox::{assert_data_eq, str};
use std::fs::{self, File};
use std::io::Write;

#[test]
fn a_device_by_hand_comes_and_goes_and_others_stay() {
    let lab = Lab::new(&["mtty", "v100dx:1"]);
    assert_data_eq!(
        lab.run(&["devices"]).stderr,
        str![[r#"
no devices

"#]]
    );
    let uuid = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001";
    let ran = lab.run(&[
        "create",
        "--type",
        "V100DX-4Q",
        "--uuid",
        uuid,
        "--params",
        "frame_rate_limiter=0",
    ]);
    assert_eq!(
        (ran.status, ran.stdout.as_str(), ran.stderr.as_str()),
        (0, format!("{uuid}\n").as_str(), "")
    );
    let made = lab.run(&["create", "--type", "mtty-2"]).stdout;
    assert_eq!(made.trim().len(), 36, "a random UUID: {made}");
    let foreign = "00000000-0000-4000-8000-00000000f0f0";
    lab.create_foreign("mtty", "mtty-1", foreign);
    assert_eq!(lab.run(&["remove", made.trim()]).status, 0);
    assert_data_eq!(
        lab.run(&["devices"]).stdout,
        str![[r#"
UUID                                  PARENT        TYPE                         OWNER           STATE    IN USE
00000000-0000-4000-8000-00000000f0f0  mtty          mtty-1 (Single port serial)  foreign         -        unknown
83b8f4f2-509f-382f-3c1e-e6bfe0fa1001  0000:06:00.0  nvidia-196 (GRID V100DX-4Q)  mdevkit create  created  unknown

"#]]
    );
    assert_data_eq!(
        lab.run(&["devices", "--json"]).stdout,
        str![[r#"
[
  {
    "uuid": "00000000-0000-4000-8000-00000000f0f0",
    "parent": "mtty",
    "type": "mtty-1",
    "type_name": "Single port serial",
    "domain_uuid": null,
    "domain_name": null,
    "owner": "foreign",
    "state": null,
    "in_use": "unknown",
    "in_use_by": null
  },
  {
    "uuid": "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001",
    "parent": "0000:06:00.0",
    "type": "nvidia-196",
    "type_name": "GRID V100DX-4Q",
    "domain_uuid": null,
    "domain_name": null,
    "owner": "mdevkit",
    "state": "created",
    "in_use": "unknown",
    "in_use_by": null
  }
]

"#]]
    );
    for (uuid, expected) in [
        (
            foreign,
            str![[r#"
mdevkit[E-FOREIGN]: device 00000000-0000-4000-8000-00000000f0f0 was not made by mdevkit; who made it removes it

"#]],
        ),
        (
            "00000000-0000-4000-8000-00000000dead",
            str![[r#"
mdevkit[E-HOST]: there is no device 00000000-0000-4000-8000-00000000dead (see: mdevkit devices)

"#]],
        ),
    ] {
        let ran = lab.run(&["remove", uuid]);
        assert_eq!((ran.status, ran.stdout.as_str()), (1, ""));
        assert_data_eq!(ran.stderr, expected);
    }
    assert_eq!(lab.run(&["remove", uuid]).status, 0);
    assert_eq!(lab.sim.handle().devices().len(), 1, "the foreign one");
}

#[test]
fn a_refusal_says_why_for_every_parent() {
    let lab = Lab::new(&["v100dx:2"]);
    lab.create_foreign("0000:06:00.0", "nvidia-194", "00000000-0000-4000-8000-00000000f0f0");
    lab.create_foreign("0000:07:00.0", "nvidia-199", "00000000-0000-4000-8000-00000000f0f1");
    for (spec, expected) in [
        (
            "V100DX-32Q",
            str![[r#"
mdevkit[E-FULL]: no V100DX-32Q left: 1 GPU runs another size (nvidia-194), 1 GPU is full
  would fit if device 00000000-0000-4000-8000-00000000f0f0 was removed (0000:06:00.0), or if device 00000000-0000-4000-8000-00000000f0f1 was removed (0000:07:00.0)

"#]],
        ),
        (
            "V100DX-64Q",
            str![[r#"
mdevkit[E-TYPE]: no type V100DX-64Q here (see: mdevkit types): 2 GPUs do not offer it

"#]],
        ),
        (
            "nvidia-1",
            str![[r#"
mdevkit[E-TYPE]: no type nvidia-1 here (see: mdevkit types): 2 GPUs do not offer it

"#]],
        ),
    ] {
        let ran = lab.run(&["create", "--type", spec]);
        assert_eq!((ran.status, ran.stdout.as_str()), (1, ""), "{spec}");
        assert_data_eq!(ran.stderr, expected);
    }
    let file = lab.file("cad.xml", CAD);
    lab.run(&["inject", "--type", "V100DX-32Q", file.to_str().unwrap()]);
    let ran = lab.run(&["plan", "cad.xml"]);
    assert_eq!((ran.status, ran.stdout.as_str()), (1, ""));
    assert_data_eq!(
        ran.stderr,
        str![[r#"
mdevkit[E-FULL]: cad.xml: no V100DX-32Q left: 1 GPU runs another size (nvidia-194), 1 GPU is full
  would fit if device 00000000-0000-4000-8000-00000000f0f0 was removed (0000:06:00.0), or if device 00000000-0000-4000-8000-00000000f0f1 was removed (0000:07:00.0)

"#]]
    );
    assert_data_eq!(
        lab.run(&["plan", "--json", "cad.xml"]).stdout,
        str![[r#"
[
  {
    "file": "cad.xml",
    "domain_name": "cad",
    "domain_uuid": "8f3a6c1e-5d0b-4b1f-9a57-0c2d4e6f8a10",
    "devices": [],
    "warnings": [],
    "refusal": {
      "code": "E-FULL",
      "message": "no V100DX-32Q left: 1 GPU runs another size (nvidia-194), 1 GPU is full",
      "slot": 0,
      "reasons": [
        {
          "parent": "0000:06:00.0",
          "reason": "0000:06:00.0: runs another size (nvidia-194)",
          "pgpu": "0000:06:00.0",
          "kind": "other-size"
        },
        {
          "parent": "0000:07:00.0",
          "reason": "0000:07:00.0: full",
          "pgpu": "0000:07:00.0",
          "kind": "full"
        }
      ],
      "stops": [
        {
          "pgpu": "0000:06:00.0",
          "domains": [],
          "devices": [
            "00000000-0000-4000-8000-00000000f0f0"
          ]
        },
        {
          "pgpu": "0000:07:00.0",
          "domains": [],
          "devices": [
            "00000000-0000-4000-8000-00000000f0f1"
          ]
        }
      ],
      "fits_alone": null,
      "unproven": false
    }
  }
]

"#]]
    );
}

#[test]
fn what_the_kernel_refuses_is_said_and_nothing_is_left() {
    let lab = Lab::new(&["mtty"]);
    lab.sim.handle().inject(Fault::FailCreate {
        on: Target::any(),
        count: 1,
        errno: 5,
    });
    let ran = lab.run(&["create", "--type", "mtty-2"]);
    assert_eq!(ran.status, 1);
    assert_data_eq!(
        ran.stderr,
        str![[r#"
mdevkit[E-FULL]: no mtty-2 left: 1 parent refused (the driver refused: /ROOT/sys/devices/virtual/mtty/mtty/mdev_supported_types/mtty-2/create answered EIO: I/O error; the kernel's log (dmesg) may say why)

"#]]
    );
    assert!(lab.sim.handle().devices().is_empty());
    assert_data_eq!(
        lab.run(&["reconcile"]).stderr,
        str![[r#"
nothing to settle

"#]]
    );
}

#[test]
fn reconcile_shows_what_it_would_do() {
    let lab = Lab::new(&["mtty"]);
    lab.run(&[
        "create",
        "--type",
        "mtty-2",
        "--uuid",
        "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001",
    ]);
    let ran = lab.run(&["reconcile", "--dry-run"]);
    assert_eq!(ran.status, 0);
    assert_data_eq!(
        ran.stdout,
        str![[r#"
UUID                                  PARENT  TYPE    ACTION  WHY                  RESULT
83b8f4f2-509f-382f-3c1e-e6bfe0fa1001  mtty    mtty-2  keep    it was made by hand  (dry run)

"#]]
    );
    assert_data_eq!(
        lab.run(&["reconcile", "--json"]).stdout,
        str![[r#"
[
  {
    "uuid": "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001",
    "action": "keep",
    "why": "it was made by hand",
    "parent": "mtty",
    "type": "mtty-2",
    "owner": "mdevkit create (made by hand)",
    "problem": null
  }
]

"#]]
    );
}

#[test]
fn a_wrong_configuration_is_named_with_its_line() {
    let lab = Lab::new(&["mtty"]);
    let etc = lab.sim.root().join("etc/mdevkit");
    fs::create_dir_all(&etc).unwrap();
    File::create(etc.join("config.toml"))
        .unwrap()
        .write_all(b"policy = 'pack'\npolcy = 1\n")
        .unwrap();
    let ran = lab.run(&["create", "--type", "mtty-2"]);
    assert_eq!(ran.status, 4);
    assert_data_eq!(
        ran.stderr,
        str![[r#"
mdevkit[E-CONFIG]: /ROOT/etc/mdevkit/config.toml: line 2: unknown field `polcy`, expected one of `policy`, `log`, `limits`, `group`, `gpu`, `profile`

"#]]
    );
}
