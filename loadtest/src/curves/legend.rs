//! Who is who in a picture, and what its marks mean: a column of its own, so that it never covers a point.
//!
//! Pure. Must not depend on what is drawn elsewhere. Invariant: a server has the same colour in every picture.

use super::draw::{FONT, INK};
use super::picture::{Mark, Picture};
use plotters::coord::Shift;
use plotters::prelude::*;
use std::error::Error;

/// Width of the column.
pub(super) const WIDTH: i32 = 190;
const LINE_HEIGHT: i32 = 20;
const TEXT_AT: i32 = 34;
/// Characters of a name that fit.
const NAME_CHARS: usize = 22;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn Error>>;

/// Told apart also by those who see few colours; Tapecast's is the strongest.
const COLOURS: [(&str, RGBColor); 9] = [
    ("tapecast", RGBColor(0, 90, 181)),
    ("bare", RGBColor(110, 110, 110)),
    ("obvious", RGBColor(213, 94, 0)),
    ("bun", RGBColor(204, 100, 160)),
    ("ws", RGBColor(0, 140, 100)),
    ("socketio", RGBColor(220, 150, 0)),
    ("nchan", RGBColor(70, 165, 220)),
    ("nats", RGBColor(125, 85, 190)),
    ("mosquitto", RGBColor(130, 75, 50)),
];
const OTHER: RGBColor = RGBColor(150, 150, 0);

/// A server's colour.
pub(super) fn colour(server: &str) -> RGBColor {
    COLOURS.iter().find(|(name, _)| *name == server).map_or(OTHER, |(_, colour)| *colour)
}

/// Draws the column.
pub(super) fn draw(area: &Area<'_>, picture: &Picture) -> Drawn {
    let mut y = 20;
    for series in &picture.series {
        let name: String = series.server.chars().take(NAME_CHARS).collect();
        let missing = if series.points.is_empty() { ": none" } else { "" };
        area.draw(&PathElement::new(vec![(6, y), (26, y)], colour(&series.server).stroke_width(3)))?;
        write(area, &format!("{name}{missing}"), y)?;
        y += LINE_HEIGHT;
    }
    y += LINE_HEIGHT / 2;
    area.draw(&Circle::new((16, y), 4, INK.filled()))?;
    write(area, "median", y)?;
    y += LINE_HEIGHT;
    area.draw(&PathElement::new(vec![(16, y - 7), (16, y + 7)], INK.mix(0.45).stroke_width(4)))?;
    write(area, "lowest to highest", y)?;
    draw_special(area, picture, y + LINE_HEIGHT)
}

/// Marks that not every picture has.
fn draw_special(area: &Area<'_>, picture: &Picture, mut y: i32) -> Drawn {
    let has = |mark| picture.series.iter().flat_map(|series| &series.points).any(|point| point.mark == mark);
    if has(Mark::Hollow) {
        area.draw(&Circle::new((16, y), 5, INK.stroke_width(2)))?;
        write(area, "doubtful: see below", y)?;
        y += LINE_HEIGHT;
    }
    if has(Mark::End) {
        area.draw(&Cross::new((16, y), 6, INK.stroke_width(3)))?;
        write(area, "no longer holds", y)?;
    }
    Ok(())
}

fn write(area: &Area<'_>, text: &str, y: i32) -> Drawn {
    let style = (FONT, 13).into_font().color(&INK);
    Ok(area.draw(&Text::new(text.to_owned(), (TEXT_AT, y - 5), style))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_servers_share_a_colour() {
        for (index, (name, one)) in COLOURS.iter().enumerate() {
            assert_eq!(colour(name), *one);
            assert!(COLOURS[..index].iter().all(|(_, other)| other != one) && *one != OTHER, "{name}");
        }
    }
}
