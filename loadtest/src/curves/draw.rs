//! A picture as SVG.
//!
//! Pure: text in, text out. Must not decide what is shown, and must not depend on fonts of the machine, on the time
//! or on chance. Invariant: the same picture gives the same bytes.

use super::legend;
use super::picture::{Mark, Picture, Point, Series};
use super::ruler::Ruler;
use plotters::prelude::*;
use plotters::series::DashedLineSeries;
use std::error::Error;

pub(super) const WIDTH: i32 = 960;
const CHART_HEIGHT: i32 = 520;
const HEAD_HEIGHT: i32 = 62;
const LINE_HEIGHT: i32 = 15;
/// Characters of a line of small text over the whole width.
const LINE_CHARS: usize = 150;
pub(super) const INK: RGBColor = RGBColor(40, 40, 40);
const GRID: RGBColor = RGBColor(225, 225, 225);
pub(super) const FONT: &str = "sans-serif";

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<Ruler, Ruler>>;
type Drawn = Result<(), Box<dyn Error>>;

/// The picture as an SVG file's text.
pub(super) fn svg(picture: &Picture) -> Result<String, Box<dyn Error>> {
    let under = wrapped(picture.under, LINE_CHARS);
    let notes: Vec<String> = picture.notes.iter().flat_map(|note| wrapped(note, LINE_CHARS)).collect();
    let head = HEAD_HEIGHT + LINE_HEIGHT * (under.len() as i32 - 1);
    let height = head + CHART_HEIGHT + LINE_HEIGHT * (notes.len() as i32 + 1);
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, (WIDTH as u32, height as u32)).into_drawing_area();
        root.fill(&WHITE)?;
        draw_text(&root, &[picture.title.to_owned()], 12, 20)?;
        draw_text(&root, &under, 38, 12)?;
        draw_text(&root, &notes, head + CHART_HEIGHT, 11)?;
        let (_, below) = root.split_vertically(head);
        let (middle, _) = below.split_vertically(CHART_HEIGHT);
        let (left, right) = middle.split_horizontally(WIDTH - legend::WIDTH);
        draw_chart(&left, picture)?;
        legend::draw(&right, picture)?;
        root.present()?;
    }
    Ok(text)
}

fn draw_text(area: &Area<'_>, lines: &[String], top: i32, size: i32) -> Drawn {
    for (line, text) in (0..).zip(lines) {
        let style = (FONT, size).into_font().color(&INK);
        area.draw(&Text::new(text.clone(), (16, top + line * LINE_HEIGHT), style))?;
    }
    Ok(())
}

fn draw_chart(area: &Area<'_>, picture: &Picture) -> Drawn {
    let mut chart = ChartBuilder::on(area)
        .margin(10)
        .x_label_area_size(48)
        .y_label_area_size(70)
        .build_cartesian_2d(Ruler(picture.x.clone()), Ruler(picture.y.clone()))?;
    chart
        .configure_mesh()
        .x_desc(picture.x.label)
        .y_desc(picture.y.label)
        .x_labels(picture.x.ticks.len())
        .y_labels(picture.y.ticks.len())
        .label_style((FONT, 13).into_font().color(&INK))
        .axis_desc_style((FONT, 14).into_font().color(&INK))
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .axis_style(INK)
        .draw()?;
    for series in &picture.series {
        draw_series(&mut chart, series)?;
    }
    Ok(())
}

fn draw_series(chart: &mut Chart<'_, '_>, series: &Series) -> Drawn {
    let colour = legend::colour(&series.server);
    // What is doubtful stands beside the line, not in it.
    let shown = series.points.iter().filter(|point| point.mark != Mark::Hollow);
    let line = shown.clone().map(|point| (point.x.median, point.y.median));
    chart.draw_series(LineSeries::new(line, colour.stroke_width(2)))?;
    let thin: Vec<_> = shown.filter_map(|point| Some((point.x.median, point.thin?))).collect();
    chart.draw_series(DashedLineSeries::new(thin, 4, 3, colour.stroke_width(1)))?;
    for point in &series.points {
        draw_spread(chart, point, colour)?;
        draw_mark(chart, (point.x.median, point.y.median), point.mark, colour)?;
    }
    Ok(())
}

fn draw_spread(chart: &mut Chart<'_, '_>, point: &Point, colour: RGBColor) -> Drawn {
    let (x, y) = (point.x, point.y);
    let upright = vec![(x.median, y.lowest), (x.median, y.highest)];
    let level = vec![(x.lowest, y.median), (x.highest, y.median)];
    let bars = [upright, level].map(|bar| PathElement::new(bar, colour.mix(0.45).stroke_width(4)));
    chart.draw_series(bars)?;
    Ok(())
}

fn draw_mark(chart: &mut Chart<'_, '_>, at: (f64, f64), mark: Mark, colour: RGBColor) -> Drawn {
    match mark {
        Mark::Sound => chart.draw_series([Circle::new(at, 4, colour.filled())]).map(|_| ())?,
        Mark::Hollow => {
            chart.draw_series([Circle::new(at, 5, WHITE.filled())])?;
            chart.draw_series([Circle::new(at, 5, colour.stroke_width(2))])?;
        }
        Mark::End => chart.draw_series([Cross::new(at, 6, colour.stroke_width(3))]).map(|_| ())?,
    }
    Ok(())
}

/// Lines of at most `chars` characters, broken between words.
fn wrapped(text: &str, chars: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.len() - 1;
        if !lines[last].is_empty() && lines[last].chars().count() + 1 + word.chars().count() > chars {
            lines.push(word.to_owned());
        } else {
            let space = if lines[last].is_empty() { "" } else { " " };
            lines[last] += &format!("{space}{word}");
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::curve::Curve;
    use super::super::row::tests::row;
    use super::super::row::{Row, State};
    use super::super::sheet::Sheet;
    use super::*;
    use clap::ValueEnum;

    fn sheet() -> Sheet {
        let servers = ["tapecast", "bare", "a & b"];
        let settings = [0.0, 100.0, 2_000.0];
        let rows = servers.iter().flat_map(|server| settings.map(|at| row(server, at, 0, 20.0 + at)));
        let failed = Row { state: State::Failed, why: "did not start".to_owned(), ..row("bun", 1.0, 0, 0.0) };
        let end = Row { state: State::NotHeld, ..row("bare", 8_000.0, 0, 5.0) };
        Sheet { remarks: vec!["machine: a test".to_owned()], rows: rows.chain([failed, end]).collect() }
    }

    #[test]
    fn every_curve_has_its_title_its_axes_and_all_servers() {
        for curve in Curve::value_variants() {
            let picture = Picture::of(*curve, &sheet());
            let svg = svg(&picture).expect("it can be drawn");
            let words = ["tapecast", "bare", "a &amp; b", "bun", "did not start", "machine: a test"];
            for word in words.into_iter().chain([picture.title, picture.x.label, picture.y.label]) {
                assert!(svg.contains(word), "{curve:?}: {word}");
            }
            assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"));
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{curve:?}");
        }
    }

    #[test]
    fn the_same_sheet_gives_the_same_picture() {
        let draw = || svg(&Picture::of(Curve::LatencyLoad, &sheet())).expect("it can be drawn");
        assert_eq!(draw(), draw());
    }

    #[test]
    fn a_sheet_without_measurements_can_be_drawn() {
        assert!(svg(&Picture::of(Curve::CostPayload, &Sheet::default())).is_ok());
    }

    #[test]
    fn long_lines_are_broken_between_words() {
        assert_eq!(wrapped("one two three", 8), ["one two", "three"]);
        assert_eq!(wrapped("", 8), [""]);
    }
}
