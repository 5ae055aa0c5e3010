//! The picture as SVG: one file, nothing fetched, every device with a text that shows when it is pointed at.
//!
//! Invariant: well-formed XML whatever the names are; what XML cannot hold is shown escaped.

use super::{Bar, Picture, labels};
use crate::out::plain;
use std::fmt::Write;

/// Pixels.
const WIDTH: usize = 960;
const MARGIN: usize = 20;
const BAR: usize = 40;
const ROW: usize = 92;
const TOP: usize = 60;
const LINE: usize = 22;
/// How wide a letter is, about.
const LETTER: usize = 7;

/// Colours that colour-blind people tell apart (Okabe and Ito), light enough for black letters.
const COLOURS: [&str; 7] = [
    "#56b4e9", "#e69f00", "#009e73", "#f0e442", "#cc79a7", "#d55e00", "#7fa7d6",
];

/// Draws it.
pub(crate) fn draw(picture: &Picture) -> String {
    let labels = labels(picture);
    let legend = TOP + picture.bars.len() * ROW;
    let height = legend + (labels.len() + 2) * LINE + MARGIN;
    let mut svg = String::new();
    // Writing to memory does not fail.
    let _ = write_all(&mut svg, picture, &labels, legend, height);
    svg
}

fn write_all(
    svg: &mut String,
    picture: &Picture,
    labels: &[&str],
    legend: usize,
    height: usize,
) -> Result<(), std::fmt::Error> {
    let host = escaped(&picture.host);
    writeln!(svg, r#"<?xml version="1.0" encoding="UTF-8"?>"#)?;
    writeln!(
        svg,
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" role="img" font-family="sans-serif" font-size="13">"#
    )?;
    writeln!(svg, "<title>GPUs of {host}</title>")?;
    writeln!(svg, r##"<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>"##)?;
    writeln!(
        svg,
        r#"<text x="{MARGIN}" y="32" font-size="18" font-weight="bold">GPUs of {host}</text>"#
    )?;
    for (index, bar) in picture.bars.iter().enumerate() {
        draw_bar(svg, bar, TOP + index * ROW, labels)?;
    }
    draw_legend(svg, labels, legend)?;
    writeln!(svg, "</svg>")
}

fn draw_bar(svg: &mut String, bar: &Bar, y: usize, labels: &[&str]) -> std::fmt::Result {
    let width = WIDTH - 2 * MARGIN;
    writeln!(
        svg,
        r#"<text x="{MARGIN}" y="{}"><tspan font-weight="bold">{}</tspan> {}</text>"#,
        y + 13,
        escaped(&bar.name),
        escaped(&bar.title)
    )?;
    writeln!(
        svg,
        r##"<text x="{MARGIN}" y="{}" fill="#555555">{}</text>"##,
        y + 29,
        escaped(&bar.said())
    )?;
    let top = y + 36;
    writeln!(
        svg,
        r##"<rect x="{MARGIN}" y="{top}" width="{width}" height="{BAR}" fill="#eeeeee" stroke="#555555"/>"##
    )?;
    for (slice, span) in bar.slices.iter().zip(bar.spans(width)) {
        let wide = span.to.saturating_sub(span.from);
        if wide == 0 {
            continue;
        }
        let x = MARGIN + span.from;
        let dashes = if slice.foreign {
            r#" stroke-dasharray="4 2""#
        } else {
            ""
        };
        writeln!(svg, "<g>")?;
        let size = match slice.size {
            0 => String::new(),
            size => format!(", {}", bar.count(size)),
        };
        writeln!(
            svg,
            "<title>{}{size}, {}</title>",
            escaped(&slice.label),
            escaped(&slice.owner)
        )?;
        writeln!(
            svg,
            r##"<rect x="{x}" y="{top}" width="{wide}" height="{BAR}" fill="{}" stroke="#000000"{dashes}/>"##,
            colour(&slice.label, labels)
        )?;
        for (text, line) in [(&slice.label, 17), (&slice.owner, 33)] {
            if let Some(text) = fitting(text, wide) {
                writeln!(
                    svg,
                    r#"<text x="{}" y="{}">{}</text>"#,
                    x + 5,
                    top + line,
                    escaped(&text)
                )?;
            }
        }
        writeln!(svg, "</g>")?;
    }
    Ok(())
}

fn draw_legend(svg: &mut String, labels: &[&str], y: usize) -> std::fmt::Result {
    let mut rows: Vec<(String, &str, &str)> = labels
        .iter()
        .map(|label| (escaped(label), colour(label, labels), ""))
        .collect();
    rows.push((
        "dashed: not made by mdevkit".to_owned(),
        "#ffffff",
        r#" stroke-dasharray="4 2""#,
    ));
    rows.push(("free".to_owned(), "#eeeeee", ""));
    for (index, (text, fill, dashes)) in rows.into_iter().enumerate() {
        let top = y + index * LINE;
        writeln!(
            svg,
            r##"<rect x="{MARGIN}" y="{top}" width="24" height="14" fill="{fill}" stroke="#000000"{dashes}/>"##
        )?;
        writeln!(svg, r#"<text x="{}" y="{}">{text}</text>"#, MARGIN + 32, top + 12)?;
    }
    Ok(())
}

fn colour(label: &str, labels: &[&str]) -> &'static str {
    let number = labels.iter().position(|known| *known == label).unwrap_or(0);
    COLOURS.get(number % COLOURS.len()).copied().unwrap_or("#56b4e9")
}

/// As much of a text as there is room for; none when that would be nothing.
fn fitting(text: &str, pixels: usize) -> Option<String> {
    let letters = pixels.saturating_sub(8) / LETTER;
    let text = plain(text);
    match text.chars().count() {
        0 => None,
        count if count <= letters => Some(text),
        _ if letters < 4 => None,
        _ => Some(text.chars().take(letters - 1).chain(['…']).collect()),
    }
}

/// For content and attribute values.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in plain(text).chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::super::tests::{picture, slice};
    use super::*;
    use snapbox::{assert_data_eq, str};

    #[test]
    fn a_host_as_svg() {
        let mut small = picture();
        small.bars.drain(1..3);
        assert_data_eq!(
            draw(&small),
            str![[r##"
<?xml version="1.0" encoding="UTF-8"?>
<svg xmlns="http://www.w3.org/2000/svg" width="960" height="374" viewBox="0 0 960 374" role="img" font-family="sans-serif" font-size="13">
<title>GPUs of host &lt;1&gt;</title>
<rect width="960" height="374" fill="#ffffff"/>
<text x="20" y="32" font-size="18" font-weight="bold">GPUs of host &lt;1&gt;</text>
<text x="20" y="73"><tspan font-weight="bold">0000:06:00.0</tspan> NVIDIA Corporation GV100GL [Tesla V100 SXM2 32 GB]</text>
<text x="20" y="89" fill="#555555">24576 of 32768 MiB, same-framebuffer</text>
<rect x="20" y="96" width="920" height="40" fill="#eeeeee" stroke="#555555"/>
<g>
<title>V100DX-8Q, 8192 MiB, domain cad</title>
<rect x="20" y="96" width="230" height="40" fill="#56b4e9" stroke="#000000"/>
<text x="25" y="113">V100DX-8Q</text>
<text x="25" y="129">domain cad</text>
</g>
<g>
<title>V100DX-8Q, 8192 MiB, domain cad</title>
<rect x="250" y="96" width="230" height="40" fill="#56b4e9" stroke="#000000"/>
<text x="255" y="113">V100DX-8Q</text>
<text x="255" y="129">domain cad</text>
</g>
<g>
<title>V100DX-8Q, 8192 MiB, domain &lt;&amp;&apos;&quot;&gt;/u{1b}[2J</title>
<rect x="480" y="96" width="230" height="40" fill="#56b4e9" stroke="#000000"/>
<text x="485" y="113">V100DX-8Q</text>
<text x="485" y="129">domain &lt;&amp;&apos;&quot;&gt;/u{1b}[2J</text>
</g>
<text x="20" y="165"><tspan font-weight="bold">mtty</tspan> </text>
<text x="20" y="181" fill="#555555">3 of 24 ports</text>
<rect x="20" y="188" width="920" height="40" fill="#eeeeee" stroke="#555555"/>
<g>
<title>mtty-2, 2 ports, mdevkit create</title>
<rect x="20" y="188" width="76" height="40" fill="#e69f00" stroke="#000000"/>
<text x="25" y="205">mtty-2</text>
<text x="25" y="221">mdevkit …</text>
</g>
<g>
<title>mtty-1, 1 port, domain cad</title>
<rect x="96" y="188" width="39" height="40" fill="#009e73" stroke="#000000"/>
<text x="101" y="205">mtt…</text>
<text x="101" y="221">dom…</text>
</g>
<rect x="20" y="244" width="24" height="14" fill="#56b4e9" stroke="#000000"/>
<text x="52" y="256">V100DX-8Q</text>
<rect x="20" y="266" width="24" height="14" fill="#e69f00" stroke="#000000"/>
<text x="52" y="278">mtty-2</text>
<rect x="20" y="288" width="24" height="14" fill="#009e73" stroke="#000000"/>
<text x="52" y="300">mtty-1</text>
<rect x="20" y="310" width="24" height="14" fill="#ffffff" stroke="#000000" stroke-dasharray="4 2"/>
<text x="52" y="322">dashed: not made by mdevkit</text>
<rect x="20" y="332" width="24" height="14" fill="#eeeeee" stroke="#000000"/>
<text x="52" y="344">free</text>
</svg>

"##]]
        );
    }

    #[test]
    fn any_name_makes_well_formed_xml_that_fetches_nothing() {
        let hostile: String = ('\0'..='\u{2ff}')
            .chain(['\u{fffe}', '\u{ffff}', '\u{202e}', '"', '\''])
            .collect();
        let mut picture = picture();
        picture.host.clone_from(&hostile);
        for bar in &mut picture.bars {
            bar.name.clone_from(&hostile);
            bar.title.clone_from(&hostile);
            bar.notes.push(hostile.clone());
            bar.slices.push(slice(&hostile, &hostile, 4096));
        }
        let svg = draw(&picture);
        let document = roxmltree::Document::parse(&svg).unwrap();
        assert_eq!(
            document.root_element().tag_name().namespace(),
            Some("http://www.w3.org/2000/svg")
        );
        let known = ["svg", "title", "rect", "text", "tspan", "g"];
        for node in document.descendants().filter(|node| node.is_element()) {
            assert!(known.contains(&node.tag_name().name()), "{node:?}");
            assert!(
                node.attributes()
                    .all(|it| !it.name().contains("href") && !it.value().contains("url(")),
                "{node:?}"
            );
        }
    }

    #[test]
    fn an_empty_host_is_a_picture_too() {
        let svg = draw(&Picture::default());
        roxmltree::Document::parse(&svg).unwrap();
    }
}
