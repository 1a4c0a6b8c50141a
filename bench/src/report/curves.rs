//! The chart of work done over time: a panel a program, a line a contender, named at its end with when its first unit was done and how many were in the end.

use super::Report;
use crate::work::{Line, Work};
use std::fmt::Write;

const LEFT: f64 = 80.0;
const WIDTH: f64 = 620.0;
const RIGHT: f64 = 270.0;
const HEIGHT: f64 = 330.0;
/// Above each panel, for its title.
const TOP: f64 = 60.0;
/// Below each panel, for its axis.
const BOTTOM: f64 = 60.0;
/// The least distance of two names.
const NAMES: f64 = 30.0;

/// Colour and dashes of a contender; those of wasmo are of one kind.
fn look(name: &str) -> (&'static str, &'static str) {
    match name {
        "wasmo lift-off" => ("#f08c00", "6 4"),
        "wasmo auto" => ("#d9480f", ""),
        "wasmo optimized" => ("#862e9c", "2 3"),
        "cranelift" => ("#1971c2", ""),
        "winch" => ("#4dabf7", "6 4"),
        _ => ("#2f9e44", ""),
    }
}

/// The name that readers know.
fn title(name: &str) -> &str {
    match name {
        "wasmo optimized" => "wasmo, optimised ahead",
        "cranelift" => "Wasmtime Cranelift",
        "winch" => "Wasmtime Winch",
        "V8" => "V8 (node)",
        name => name,
    }
}

/// A step of 1, 2 or 5 times a power of ten, of which six or so reach `end`.
fn step(end: f64) -> f64 {
    let power = 10_f64.powf((end / 6.0).log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * power).find(|step| end / step <= 7.0).unwrap_or(power)
}

/// Where names are written so that none covers another: as near to where they are wanted as that allows, in the same order.
fn spread(mut wanted: Vec<(usize, f64)>, top: f64, bottom: f64) -> Vec<(usize, f64)> {
    wanted.sort_by(|one, other| one.1.total_cmp(&other.1));
    let mut least = top;
    for (_, y) in &mut wanted {
        *y = y.max(least);
        least = *y + NAMES;
    }
    let mut greatest = bottom;
    for (_, y) in wanted.iter_mut().rev() {
        *y = y.min(greatest);
        greatest = *y - NAMES;
    }
    wanted
}

/// Thousands apart, as in 12,345.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn panel(svg: &mut String, work: &Work, top: f64) {
    let most = work.lines.iter().filter_map(|line| line.points.last()).map(|point| point.1).fold(1.0, f64::max) * 1.04;
    let (bottom, end) = (top + HEIGHT, LEFT + WIDTH);
    let x = |time: f64| LEFT + time / work.window * WIDTH;
    let y = |units: f64| bottom - units / most * HEIGHT;
    _ = writeln!(svg, r#"<text x="{LEFT}" y="{}" class="title">{}</text>"#, top - 32.0, work.name);
    let times = match work.rounds {
        1 => "one run of each".to_owned(),
        rounds => format!("medians of {rounds} runs"),
    };
    _ = writeln!(
        svg,
        r#"<text x="{LEFT}" y="{}" class="small">a unit of work: {}; nothing cached; {times}</text>"#,
        top - 14.0,
        work.unit
    );
    for (axis, limit) in [(true, work.window), (false, most)] {
        let step = step(limit);
        let mut at = 0.0;
        while at <= limit * 1.0001 {
            let label = if step < 1.0 { format!("{at:.1}") } else { grouped(at) };
            if axis {
                let x = x(at);
                _ = writeln!(
                    svg,
                    r#"<line x1="{x:.1}" x2="{x:.1}" y1="{top}" y2="{bottom}" class="grid"/><text x="{x:.1}" y="{}" text-anchor="middle">{label}</text>"#,
                    bottom + 17.0
                );
            } else {
                let y = y(at);
                _ = writeln!(
                    svg,
                    r#"<line x1="{LEFT}" x2="{end}" y1="{y:.1}" y2="{y:.1}" class="grid"/><text x="{}" y="{:.1}" text-anchor="end">{label}</text>"#,
                    LEFT - 7.0,
                    y + 4.0
                );
            }
            at += step;
        }
    }
    _ = writeln!(svg, r#"<path d="M{LEFT} {top} V{bottom} H{end}" fill="none" stroke="black"/>"#);
    _ = writeln!(
        svg,
        r#"<text x="{}" y="{}" text-anchor="middle">seconds since the process began</text>"#,
        LEFT + WIDTH / 2.0,
        bottom + 38.0
    );
    let (middle, axis) = (top + HEIGHT / 2.0, LEFT - 60.0);
    _ = writeln!(
        svg,
        r#"<text x="{axis}" y="{middle}" text-anchor="middle" transform="rotate(-90 {axis} {middle})">units of work done</text>"#
    );
    let last = |line: &Line| line.points.last().map_or((work.window, 0.0), |&point| point);
    let wanted = work.lines.iter().enumerate().map(|(position, line)| (position, y(last(line).1))).collect();
    for (position, at) in spread(wanted, top + 8.0, bottom - 8.0) {
        let line = &work.lines[position];
        let (colour, dashes) = look(line.name);
        let path: String =
            line.points.iter().map(|&(time, units)| format!(" {:.1},{:.1}", x(time), y(units))).collect();
        if let Some(&(first, _)) = line.points.first() {
            _ = writeln!(
                svg,
                r#"<polyline points="{:.1},{bottom}{path}" fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dashes}"/>"#,
                x(first)
            );
        }
        let told = match line.points.first() {
            Some((first, _)) => format!("first unit at {first:.2} s, {} in all", grouped(last(line).1)),
            None => "no unit in this time".to_owned(),
        };
        let (from, name) = (y(last(line).1), end + 34.0);
        _ = writeln!(
            svg,
            r#"<path d="M{} {from:.1} L{} {at:.1} H{}" fill="none" stroke="{colour}" stroke-dasharray="{dashes}"/>"#,
            end + 2.0,
            end + 16.0,
            end + 30.0
        );
        _ = writeln!(
            svg,
            r#"<text x="{name}" y="{:.1}" fill="{colour}" font-weight="bold">{}</text><text x="{name}" y="{:.1}" class="small">{told}</text>"#,
            at + 1.0,
            title(line.name),
            at + 14.0
        );
    }
}

impl Report {
    /// The chart of work done over time as an SVG document.
    pub fn curves(&self) -> String {
        let mut body = String::new();
        let mut y = 0.0;
        for work in &self.works {
            panel(&mut body, work, y + TOP);
            y += TOP + HEIGHT + BOTTOM;
        }
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{y}\" viewBox=\"0 0 {width} {y}\" font-family=\"sans-serif\" font-size=\"12\">\n\
             <style>.title {{ font-size: 16px; font-weight: bold }} .small {{ font-size: 11px; fill: #444 }} .grid {{ stroke: #ddd }}</style>\n\
             <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{body}</svg>\n",
            width = LEFT + WIDTH + RIGHT
        )
    }

    /// The charts for which something was measured, with the names of their files.
    pub fn charts(&self) -> Vec<(&'static str, String)> {
        let mut charts = Vec::new();
        if !self.table.is_empty() {
            charts.push(("bench.svg", self.svg()));
        }
        if !self.works.is_empty() {
            charts.push(("work.svg", self.curves()));
        }
        charts
    }
}
