//! Lines in a frame, as SVG that suits light and dark pages.

use std::fmt::Write as _;

/// A picture.
pub(crate) struct Picture<'a> {
    pub(crate) title: &'a str,
    pub(crate) x_axis: &'a str,
    pub(crate) y_axis: &'a str,
    /// Where the x axis has which words.
    pub(crate) x_ticks: Vec<(f64, String)>,
    /// Where the y axis has which words; its ends are those of the picture.
    pub(crate) y_ticks: Vec<(f64, String)>,
    /// Whether equal ratios have equal heights.
    pub(crate) is_logarithmic: bool,
    pub(crate) lines: Vec<(String, Vec<(f64, f64)>)>,
}

const LEFT: f64 = 74.0;
const TOP: f64 = 44.0;
const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 270.0;
const RIGHT: f64 = 30.0;
/// Told apart on white and on black, and by most who tell few colours apart.
const COLOURS: [&str; 5] = ["#d1603d", "#3f88c5", "#8a6fc0", "#3a9d5d", "#a08020"];
const STYLE: &str = "text{fill:#333;font:12px sans-serif}.grid{stroke:#8884;stroke-width:1}\
    @media(prefers-color-scheme:dark){text{fill:#ccc}}";

impl Picture<'_> {
    fn height_of(&self, value: f64) -> f64 {
        let (low, high) = (self.y_ticks[0].0, self.y_ticks[self.y_ticks.len() - 1].0);
        let value = value.clamp(low, high);
        let share = if self.is_logarithmic {
            (value / low).ln() / (high / low).ln()
        } else {
            (value - low) / (high - low)
        };
        TOP + HEIGHT * (1.0 - share)
    }

    fn place_of(&self, value: f64) -> f64 {
        let (low, high) = (self.x_ticks[0].0, self.x_ticks[self.x_ticks.len() - 1].0);
        LEFT + WIDTH * (value - low) / (high - low)
    }

    /// The picture as SVG.
    pub(crate) fn draw(&self) -> String {
        let (width, legend) = (LEFT + WIDTH + RIGHT, TOP + HEIGHT + 44.0);
        let height = legend + 18.0 * self.lines.len() as f64 + 12.0;
        let mut svg = format!(
            "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' width='{width}' height='{height}'>\n\
             <style>{STYLE}</style>\n"
        );
        text(&mut svg, (8.0, 18.0), "start", self.title);
        text(&mut svg, (8.0, TOP - 8.0), "start", self.y_axis);
        text(&mut svg, (LEFT + WIDTH, TOP + HEIGHT + 34.0), "end", self.x_axis);
        for (value, words) in &self.y_ticks {
            let y = self.height_of(*value);
            line(&mut svg, [(LEFT, y), (LEFT + WIDTH, y)]);
            text(&mut svg, (LEFT - 6.0, y + 4.0), "end", words);
        }
        for (value, words) in &self.x_ticks {
            let x = self.place_of(*value);
            line(&mut svg, [(x, TOP), (x, TOP + HEIGHT)]);
            text(&mut svg, (x, TOP + HEIGHT + 16.0), "middle", words);
        }
        for (number, (name, points)) in self.lines.iter().enumerate() {
            let colour = COLOURS[number % COLOURS.len()];
            let mut places = String::new();
            for (x, y) in points {
                let _ = write!(places, "{:.1},{:.1} ", self.place_of(*x), self.height_of(*y));
            }
            let _ = writeln!(
                svg,
                "<polyline points='{}' fill='none' stroke='{colour}' stroke-width='1.8' stroke-linejoin='round'/>",
                places.trim_end()
            );
            let y = legend + 18.0 * number as f64;
            let _ = writeln!(svg, "<rect x='{LEFT}' y='{y}' width='18' height='4' fill='{colour}'/>");
            text(&mut svg, (LEFT + 26.0, y + 6.0), "start", name);
        }
        svg + "</svg>\n"
    }
}

fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(svg, "<text x='{x:.1}' y='{y:.1}' text-anchor='{anchor}'>{words}</text>");
}

fn line(svg: &mut String, [from, to]: [(f64, f64); 2]) {
    let _ = writeln!(
        svg,
        "<line class='grid' x1='{:.1}' y1='{:.1}' x2='{:.1}' y2='{:.1}'/>",
        from.0, from.1, to.0, to.1
    );
}
