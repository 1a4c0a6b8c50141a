//! The chart: a group of bars a guest, a bar an engine, its length the ratio to native.

use super::Report;
use crate::engine::NATIVE;
use std::fmt::Write;

const COLOURS: [&str; 6] = ["#888888", "#c0c0c0", "#d9480f", "#1971c2", "#74c0fc", "#2f9e44"];
const BAR: f64 = 9.0;
const GAP: f64 = 8.0;
const LEFT: f64 = 170.0;
const WIDTH: f64 = 900.0;
/// Ratios beyond this are cut and written as numbers.
const LONGEST: f64 = 5.0;

impl Report {
    /// The chart as an SVG document.
    pub fn svg(&self) -> String {
        let shown: Vec<usize> =
            (0..self.engines.len()).filter(|&engine| self.engines[engine].name() != NATIVE).collect();
        let scale = (WIDTH - LEFT - 60.0) / LONGEST;
        let mut body = String::new();
        let mut y = 40.0;
        for (position, &engine) in shown.iter().enumerate() {
            let x = LEFT + position as f64 * 120.0;
            let (colour, name) = (COLOURS[engine % COLOURS.len()], self.engines[engine].name());
            _ = writeln!(
                body,
                r#"<rect x="{x}" y="12" width="10" height="10" fill="{colour}"/><text x="{}" y="21">{name}</text>"#,
                x + 15.0
            );
        }
        for row in &self.table {
            let middle = y + BAR * shown.len() as f64 / 2.0 + 4.0;
            _ = writeln!(
                body,
                r#"<text x="{}" y="{middle}" text-anchor="end">{} {}</text>"#,
                LEFT - 8.0,
                row.family.prefix(),
                row.name
            );
            for &engine in &shown {
                let ratio = self.ratio(row, engine);
                let (length, colour) = (ratio.min(LONGEST) * scale, COLOURS[engine % COLOURS.len()]);
                _ = writeln!(
                    body,
                    r#"<rect x="{LEFT}" y="{y}" width="{length:.1}" height="{}" fill="{colour}"/>"#,
                    BAR - 1.0
                );
                _ = writeln!(
                    body,
                    r#"<text x="{:.1}" y="{}" class="figure">{ratio:.2}</text>"#,
                    LEFT + length + 3.0,
                    y + BAR - 2.0
                );
                y += BAR;
            }
            y += GAP;
        }
        let one = LEFT + scale;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{}\" font-family=\"sans-serif\" font-size=\"11\">\n\
             <style>.figure {{ font-size: 8px; fill: #444 }}</style>\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{body}\
             <line x1=\"{one}\" x2=\"{one}\" y1=\"32\" y2=\"{y}\" stroke=\"black\" stroke-dasharray=\"3 3\"/>\n\
             <text x=\"{one}\" y=\"{}\" text-anchor=\"middle\">time of native = 1</text>\n</svg>\n",
            y + 30.0,
            y + 15.0
        )
    }
}
