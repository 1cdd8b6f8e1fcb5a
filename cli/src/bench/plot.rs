//! The course of a measurement as a picture: throughput, latency and memory over time, as SVG.

use std::ops::Range;

use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;

use super::recorder::Sample;
use super::report::Report;

/// The picture's size, and that of its heading.
const WIDTH: u32 = 960;
const PANEL_HEIGHT: u32 = 230;
const HEADING_HEIGHT: u32 = 40;

/// Room for the numbers at the axes.
const LEFT: u32 = 76;
const BELOW: u32 = 34;

/// The line above a panel that says what is what: its height, a dash, and about a letter.
const LEGEND_AT: i32 = 12;
const LEGEND_DASH: i32 = 16;
const LETTER: i32 = 7;

/// Bytes in a MiB.
const MIB: f64 = 1024.0 * 1024.0;

/// The least latency that is drawn: the axis is logarithmic.
const MIN_LATENCY_MS: f64 = 0.1;

/// Colours that people tell apart who see few: Okabe and Ito's.
const BLUE: RGBColor = RGBColor(0, 114, 178);
const ORANGE: RGBColor = RGBColor(230, 159, 0);
const VERMILION: RGBColor = RGBColor(213, 94, 0);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// One line of a panel.
struct Line {
    name: &'static str,
    colour: RGBColor,
    points: Vec<(f64, f64)>,
}

/// Draws a report.
///
/// # Errors
/// Where there is too little to draw.
pub(super) fn svg(report: &Report) -> anyhow::Result<String> {
    let samples = &report.samples;
    anyhow::ensure!(
        samples.len() > 1,
        "it took too short a time for a picture: two seconds are the least"
    );
    let line = |name, colour, value: &dyn Fn(&Sample) -> Option<f64>| Line {
        name,
        colour,
        points: samples.iter().filter_map(|one| Some((one.at_s, value(one)?))).collect(),
    };
    let latency = |ms: f64| (ms > 0.0).then(|| ms.max(MIN_LATENCY_MS));
    let mib = |bytes: Option<u64>| bytes.map(|bytes| bytes as f64 / MIB);
    let throughput = [line("claims a second", BLUE, &|one| Some(one.claims_per_s))];
    let latencies = [
        line("longest", VERMILION, &|one| latency(one.max_ms)),
        line("p99", ORANGE, &|one| latency(one.p99_ms)),
        line("p50", BLUE, &|one| latency(one.p50_ms)),
    ];
    let memory = [
        line("Fluxus and its clients", BLUE, &|one| mib(one.memory.fluxus)),
        line("Postgres", ORANGE, &|one| mib(one.memory.postgres)),
    ];
    let with_memory = memory.iter().any(|line| line.points.len() > 1);
    let panels = if with_memory { 3 } else { 2 };

    let mut text = String::new();
    {
        let size = (WIDTH, HEADING_HEIGHT + PANEL_HEIGHT * panels);
        let root = SVGBackend::with_string(&mut text, size).into_drawing_area();
        root.fill(&WHITE).map_err(failed)?;
        let heading = ("sans-serif", 18).into_font();
        let root =
            root.titled(&format!("fluxus bench: {}", report.title), heading).map_err(failed)?;
        let areas = root.split_evenly((panels as usize, 1));
        let until = samples.last().map_or(1.0, |one| one.at_s);
        for (at, area) in areas.iter().enumerate() {
            let drawn = match at {
                0 => panel(area, "claims/s", until, from_zero(&throughput), &throughput),
                1 => {
                    let range = decades(&latencies).log_scale();
                    panel(area, "latency, ms", until, range, &latencies)
                }
                _ => panel(area, "memory, MiB", until, from_zero(&memory), &memory),
            };
            drawn?;
        }
        root.present().map_err(failed)?;
    }
    Ok(text)
}

fn panel<Y>(area: &Area<'_>, name: &str, until: f64, range: Y, lines: &[Line]) -> anyhow::Result<()>
where
    Y: AsRangedCoord<Value = f64>,
    Y::CoordDescType: ValueFormatter<f64>,
{
    let mut chart = ChartBuilder::on(area)
        .margin(8)
        .margin_top(22)
        .margin_right(24)
        .x_label_area_size(BELOW)
        .y_label_area_size(LEFT)
        .build_cartesian_2d(0.0..until, range)
        .map_err(failed)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.12))
        .label_style(("sans-serif", 12))
        .y_desc(name)
        .x_desc("seconds")
        .x_label_formatter(&|second| short(*second))
        .y_label_formatter(&|value| short(*value))
        .draw()
        .map_err(failed)?;
    for Line { colour, points, .. } in lines {
        let series = LineSeries::new(points.iter().copied(), colour.stroke_width(2));
        chart.draw_series(series).map_err(failed)?;
    }
    legend(area, lines)
}

/// What each line is, above the panel, where it hides none.
fn legend(area: &Area<'_>, lines: &[Line]) -> anyhow::Result<()> {
    let mut at = i32::try_from(LEFT)?;
    for Line { name, colour, .. } in lines.iter().filter(|line| !line.points.is_empty()) {
        let dash = [(at, LEGEND_AT), (at + LEGEND_DASH, LEGEND_AT)];
        area.draw(&PathElement::new(dash, colour.stroke_width(2))).map_err(failed)?;
        let text = (at + LEGEND_DASH + 6, LEGEND_AT - 6);
        let style = ("sans-serif", 12).into_font().color(&BLACK);
        area.draw(&Text::new(*name, text, style)).map_err(failed)?;
        at += LEGEND_DASH + 24 + LETTER * i32::try_from(name.len())?;
    }
    Ok(())
}

/// From zero to a little more than the most.
fn from_zero(lines: &[Line]) -> Range<f64> {
    0.0..values(lines).fold(1.0, f64::max) * 1.15
}

/// Whole decades around the values.
fn decades(lines: &[Line]) -> Range<f64> {
    let least = values(lines).fold(f64::INFINITY, f64::min).clamp(MIN_LATENCY_MS, 1e6);
    let most = values(lines).fold(least, f64::max);
    let (from, to) = (least.log10().floor(), most.log10().ceil());
    10_f64.powf(from)..10_f64.powf(to.max(from + 1.0))
}

fn values(lines: &[Line]) -> impl Iterator<Item = f64> {
    lines.iter().flat_map(|line| line.points.iter().map(|(_, value)| *value))
}

/// A number at an axis.
fn short(value: f64) -> String {
    let text = if value >= 10.0 { format!("{value:.0}") } else { format!("{value:.1}") };
    text.strip_suffix(".0").unwrap_or(&text).to_owned()
}

/// Drawing into a text fails for want of nothing but a bug in what is drawn.
fn failed(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow::anyhow!("cannot draw the picture: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latency_axis_has_whole_decades() {
        let line = |points: &[f64]| Line {
            name: "",
            colour: BLUE,
            points: points.iter().map(|value| (0.0, *value)).collect(),
        };
        assert_eq!(decades(&[line(&[3.0, 40.0])]), 1.0..100.0);
        assert_eq!(decades(&[line(&[5.0])]), 1.0..10.0);
        assert_eq!(decades(&[line(&[])]).start, 1e6);
    }

    #[test]
    fn numbers_at_an_axis_are_short() {
        assert_eq!([0.0, 0.5, 2.0, 120.4].map(short), ["0", "0.5", "2", "120"]);
    }
}
