//! The picture for a terminal.
//!
//! ```text
//! 0000:06:00.0  NVIDIA Corporation GV100GL [Tesla V100 SXM2 32 GB]
//!   [aaaaaaaaaabbbbbbbbbb....................]  16384 of 32768 MiB
//!   a-b  V100DX-8Q  8192 MiB  domain cad
//! ```
//!
//! Invariant: the letters say all that the colours say.

use super::{Bar, Picture, labels};
use crate::out::plain;

/// What is said of a bar stands in lines below it, so that the bar has the width to itself.
const FRAME: usize = 4;

/// The narrowest bar (cells).
const NARROWEST: usize = 16;

/// The letters of the devices of a bar; who comes later is drawn as the last one.
const LETTERS: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789#";

/// Backgrounds that both dark and light letters can be read on: cyan, yellow, green, magenta, blue, white.
const COLOURS: [u8; 6] = [46, 43, 42, 45, 44, 47];

/// Draws it, `width` columns wide.
pub(crate) fn draw(picture: &Picture, width: usize, colour: bool) -> String {
    let cells = width.saturating_sub(FRAME).max(NARROWEST);
    let labels = labels(picture);
    let mut text = String::new();
    for (index, bar) in picture.bars.iter().enumerate() {
        if index > 0 {
            text.push('\n');
        }
        head(bar, &mut text);
        let paint = |label: &str| {
            let number = labels.iter().position(|known| *known == label).unwrap_or(0);
            colour.then(|| COLOURS.get(number % COLOURS.len()).copied().unwrap_or(47))
        };
        text.push_str(&format!("  [{}]\n", cells_of(bar, cells, &paint)));
        legend(bar, &paint, &mut text);
    }
    text
}

/// `0000:07:00.0  NVIDIA Corporation ...: 0 of 32768 MiB, same-framebuffer, cordoned`.
fn head(bar: &Bar, text: &mut String) {
    text.push_str(&plain(&bar.name));
    if !bar.title.is_empty() {
        text.push_str("  ");
        text.push_str(&plain(&bar.title));
    }
    text.push_str("\n  ");
    text.push_str(&plain(&bar.said()));
    text.push('\n');
}

fn letter(index: usize) -> char {
    LETTERS.chars().nth(index).unwrap_or('#')
}

fn cells_of(bar: &Bar, cells: usize, paint: &dyn Fn(&str) -> Option<u8>) -> String {
    let mut spans: Vec<(usize, usize, usize)> = bar
        .spans(cells)
        .iter()
        .enumerate()
        .map(|(index, span)| (span.from, span.to, index))
        .collect();
    spans.sort_unstable();
    let mut line = String::new();
    let mut at = 0;
    for (from, to, index) in spans.into_iter().filter(|(from, to, _)| from < to) {
        line.push_str(&".".repeat(from.saturating_sub(at)));
        let run = letter(index).to_string().repeat(to - from);
        let colour = bar.slices.get(index).and_then(|slice| paint(&slice.label));
        line.push_str(&painted(&run, colour));
        at = to;
    }
    line.push_str(&".".repeat(cells.saturating_sub(at)));
    line
}

/// One line for each run of devices that are alike.
fn legend(bar: &Bar, paint: &dyn Fn(&str) -> Option<u8>, text: &mut String) {
    let mut rows: Vec<[String; 4]> = Vec::new();
    let mut colours = Vec::new();
    let mut index = 0;
    while let Some(slice) = bar.slices.get(index) {
        let alike = bar
            .slices
            .iter()
            .skip(index)
            .take_while(|other| *other == slice)
            .count();
        let letters = match alike {
            1 => letter(index).to_string(),
            _ => format!("{}-{}", letter(index), letter(index + alike - 1)),
        };
        let size = match (slice.size, alike) {
            (0, _) => "-".to_owned(),
            (size, 1) => bar.count(size),
            (size, _) => format!("{alike} x {}", bar.count(size)),
        };
        rows.push([letters, plain(&slice.label), size, plain(&slice.owner)]);
        colours.push(paint(&slice.label));
        index += alike;
    }
    let mut widths = [0; 4];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let [one, two, three, _] = widths;
    for ([letters, label, size, owner], colour) in rows.into_iter().zip(colours) {
        let padding = " ".repeat(one.saturating_sub(letters.chars().count()));
        let letters = painted(&letters, colour);
        text.push_str(&format!("  {letters}{padding}  {label:two$}  {size:three$}  {owner}\n"));
    }
}

fn painted(text: &str, colour: Option<u8>) -> String {
    match colour {
        Some(background) => format!("\u{1b}[30;{background}m{text}\u{1b}[0m"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{picture, slice};
    use super::*;
    use snapbox::{assert_data_eq, str};

    #[test]
    fn a_host_in_letters() {
        let text = draw(&picture(), 60, false);
        assert!(
            text.lines()
                .filter(|line| line.contains('[') && line.ends_with(']') && line.starts_with("  "))
                .all(|line| line.chars().count() == 60)
        );
        assert_data_eq!(
            text,
            str![[r#"
0000:06:00.0  NVIDIA Corporation GV100GL [Tesla V100 SXM2 32 GB]
  24576 of 32768 MiB, same-framebuffer
  [aaaaaaaaaaaaaabbbbbbbbbbbbbbcccccccccccccc..............]
  a-b  V100DX-8Q  2 x 8192 MiB  domain cad
  c    V100DX-8Q  8192 MiB      domain <&'">/u{1b}[2J

0000:07:00.0  NVIDIA Corporation GV100GL [Tesla V100 SXM2 32 GB]
  0 of 32768 MiB, same-framebuffer (not proven), cordoned
  [........................................................]

0000:0a:00.0  NVIDIA Corporation GV100GL [Tesla V100 SXM2 32 GB]
  2048 of 32768 MiB
  [aaa.....................................................]
  a  V100DX-2Q  2048 MiB  foreign

mtty
  3 of 24 ports
  [aaaabbb.................................................]
  a  mtty-2  2 ports  mdevkit create
  b  mtty-1  1 port   domain cad

"#]]
        );
    }

    #[test]
    fn colour_changes_nothing_but_colour() {
        let (with, without) = (draw(&picture(), 60, true), draw(&picture(), 60, false));
        assert!(with.contains("\u{1b}[30;46m"));
        let mut stripped = String::new();
        let mut rest = with.as_str();
        while let Some((before, after)) = rest.split_once("\u{1b}[") {
            stripped.push_str(before);
            rest = after.split_once('m').unwrap().1;
        }
        assert_eq!(stripped + rest, without);
    }

    #[test]
    fn a_crowd_is_drawn_without_fear() {
        let mut crowded = picture();
        crowded.bars[0].slices = (0..100).map(|n| slice("t", &format!("domain {n}"), 1)).collect();
        let text = draw(&crowded, 0, false);
        assert!(text.contains("  [abcdefghijklmnop]\n"), "{text}");
        assert_eq!(text.lines().filter(|line| line.starts_with("  #")).count(), 38);
    }
}
