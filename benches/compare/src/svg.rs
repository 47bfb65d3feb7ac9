//! Pictures: bars of medians, and curves; both with logarithmic scales, plain SVG.

use crate::{measure::seconds, ops::Measured, peers::MAKERS};
use std::fmt::Write as _;

const COLOURS: [&str; 9] =
    ["#1b6ca8", "#5dade2", "#7f7f7f", "#c0392b", "#e08e0b", "#2e8b57", "#8e44ad", "#00a3a3", "#8b5a2b"];
const FONT: &str = "font-family='sans-serif' font-size='12'";

fn colour(peer: &str) -> &'static str {
    COLOURS[MAKERS.iter().position(|maker| maker.name == peer).unwrap_or(0)]
}

fn document(width: usize, height: usize, body: &str) -> String {
    format!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' width='{width}' height='{height}' {FONT}>\n\
         <rect width='{width}' height='{height}' fill='white'/>\n{body}</svg>\n"
    )
}

fn text(body: &mut String, x: f64, y: f64, anchor: &str, text: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    writeln!(body, "<text x='{x:.1}' y='{y:.1}' text-anchor='{anchor}'>{text}</text>").unwrap();
}

/// A group of bars for each operation, a bar for each peer; shorter is faster.
pub fn bars(title: &str, all: &[Measured]) -> String {
    const LEFT: f64 = 150.0;
    const WIDTH: f64 = 560.0;
    const BAR: f64 = 15.0;
    let mut body = String::new();
    text(&mut body, 10.0, 20.0, "start", title);
    let mut y = 34.0;
    for measured in all {
        let there: Vec<_> =
            measured.spreads.iter().filter_map(|(name, s)| s.map(|s| (*name, s.median))).collect();
        let low = there.iter().map(|(_, median)| *median).fold(f64::MAX, f64::min) / 2.0;
        let high = there.iter().map(|(_, median)| *median).fold(0.0, f64::max);
        y += 14.0;
        text(&mut body, 10.0, y, "start", &measured.name);
        y += 4.0;
        for (name, median) in there {
            let len = WIDTH * (median / low).ln() / (high / low).ln();
            let fill = colour(name);
            writeln!(
                body,
                "<rect x='{LEFT}' y='{y:.1}' width='{len:.1}' height='{}' fill='{fill}'/>",
                BAR - 3.0
            )
            .unwrap();
            text(&mut body, LEFT - 6.0, y + 10.0, "end", name);
            text(&mut body, LEFT + len + 6.0, y + 10.0, "start", &seconds(median));
            y += BAR;
        }
    }
    document((LEFT + WIDTH + 100.0) as usize, y as usize + 20, &body)
}

/// A curve for each peer: `points` are the operations at growing places on the x axis.
pub fn curves(title: &str, x_axis: &str, points: &[(f64, String, &Measured)]) -> String {
    const LEFT: f64 = 70.0;
    const TOP: f64 = 40.0;
    const WIDTH: f64 = 520.0;
    const HEIGHT: f64 = 340.0;
    let medians = || {
        points
            .iter()
            .flat_map(|(_, _, measured)| measured.spreads.iter())
            .filter_map(|(_, s)| s.map(|s| s.median))
    };
    let (low, high) = (medians().fold(f64::MAX, f64::min) / 1.3, medians().fold(0.0, f64::max) * 1.3);
    let (first, last) = (points[0].0, points[points.len() - 1].0);
    let x_of = |x: f64| LEFT + WIDTH * (x / first).ln() / (last / first).ln();
    let y_of = |y: f64| TOP + HEIGHT * (1.0 - (y / low).ln() / (high / low).ln());
    let mut body = String::new();
    text(&mut body, 10.0, 20.0, "start", title);
    for power in (low.log10().ceil() as i32)..=(high.log10().floor() as i32) {
        let (value, right) = (10_f64.powi(power), LEFT + WIDTH);
        let y = y_of(value);
        writeln!(body, "<line x1='{LEFT}' x2='{right}' y1='{y:.1}' y2='{y:.1}' stroke='#ddd'/>").unwrap();
        text(&mut body, LEFT - 6.0, y + 4.0, "end", &seconds(value));
    }
    for (x, label, _) in points {
        text(&mut body, x_of(*x), TOP + HEIGHT + 18.0, "middle", label);
    }
    text(&mut body, LEFT + WIDTH / 2.0, TOP + HEIGHT + 36.0, "middle", x_axis);
    for (place, maker) in MAKERS.iter().enumerate() {
        let mut line = String::new();
        for (x, _, measured) in points {
            let spread =
                measured.spreads.iter().find(|(name, _)| *name == maker.name).and_then(|(_, spread)| *spread);
            if let Some(spread) = spread {
                write!(line, "{:.1},{:.1} ", x_of(*x), y_of(spread.median)).unwrap();
            }
        }
        let (stroke, width) = (COLOURS[place], if place == 0 { 3 } else { 1 });
        writeln!(body, "<polyline points='{line}' fill='none' stroke='{stroke}' stroke-width='{width}'/>")
            .unwrap();
        let y = TOP + 16.0 * place as f64;
        writeln!(body, "<rect x='{}' y='{y}' width='12' height='12' fill='{stroke}'/>", LEFT + WIDTH + 16.0)
            .unwrap();
        text(&mut body, LEFT + WIDTH + 34.0, y + 11.0, "start", maker.name);
    }
    document((LEFT + WIDTH + 180.0) as usize, (TOP + HEIGHT + 50.0) as usize, &body)
}
