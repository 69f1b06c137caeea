//! Plots: one self-contained HTML page with inline SVG, no script and no dependency.

use crate::report::Report;
use std::fmt::Write as _;

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 40.0;

/// Line colours that stay apart for colour-blind readers (Okabe and Ito).
const COLOURS: [&str; 4] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7"];

/// A named line.
#[derive(Clone, Debug)]
pub struct Line {
    /// Name in the legend.
    pub name: &'static str,
    /// Points, ascending in x.
    pub points: Vec<(f64, f64)>,
}

/// A chart with linear axes from zero.
#[derive(Clone, Debug)]
pub struct Chart {
    /// Title.
    pub title: String,
    /// What x is.
    pub x: &'static str,
    /// What y is.
    pub y: &'static str,
    /// Its lines, at most four.
    pub lines: Vec<Line>,
}

impl Chart {
    /// The chart as SVG.
    #[must_use]
    pub fn to_svg(&self) -> String {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let x_max = nice_max(points().fold(0.0, |max, p| f64::max(max, p.0)));
        let y_max = nice_max(points().fold(0.0, |max, p| f64::max(max, p.1)));
        let x = |value: f64| LEFT + value / x_max * (WIDTH - LEFT - RIGHT);
        let y = |value: f64| HEIGHT - BOTTOM - value / y_max * (HEIGHT - TOP - BOTTOM);
        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" xmlns=\"http://www.w3.org/2000/svg\" \
             font-family=\"sans-serif\" font-size=\"12\"><text x=\"{LEFT}\" y=\"18\" \
             font-weight=\"bold\">{}</text>",
            escape(&self.title)
        );
        for step in 0..=5 {
            let share = f64::from(step) / 5.0;
            let (at_x, at_y) = (x(share * x_max), y(share * y_max));
            let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
            let _ = write!(
                svg,
                "<line x1=\"{LEFT}\" x2=\"{right}\" y1=\"{at_y:.1}\" y2=\"{at_y:.1}\" \
                 stroke=\"#ddd\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
                 <text x=\"{at_x:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                LEFT - 6.0,
                at_y + 4.0,
                number(share * y_max),
                bottom + 16.0,
                number(share * x_max),
            );
        }
        let _ = write!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text><text x=\"8\" y=\"{}\">{}</text>",
            WIDTH - RIGHT,
            HEIGHT - 6.0,
            escape(self.x),
            TOP - 2.0 + 12.0,
            escape(self.y)
        );
        for (index, line) in self.lines.iter().enumerate() {
            let colour = COLOURS[index % COLOURS.len()];
            let path: Vec<String> = line
                .points
                .iter()
                .map(|(px, py)| format!("{:.1},{:.1}", x(*px), y(*py)))
                .collect();
            let legend = WIDTH - RIGHT - 110.0 * (self.lines.len() - index) as f64;
            let _ = write!(
                svg,
                "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\" points=\"{}\"/>\
                 <rect x=\"{legend}\" y=\"9\" width=\"10\" height=\"10\" fill=\"{colour}\"/>\
                 <text x=\"{}\" y=\"18\">{}</text>",
                path.join(" "),
                legend + 14.0,
                escape(line.name)
            );
        }
        svg + "</svg>"
    }
}

/// The next of 1, 2, 5 times a power of ten, so that ticks are readable.
fn nice_max(max: f64) -> f64 {
    if max <= 0.0 || !max.is_finite() {
        return 1.0;
    }
    let power = 10_f64.powf(max.log10().floor());
    let steps = [1.0, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0];
    let step = steps
        .into_iter()
        .find(|step| step * power >= max * 0.999_999);
    step.unwrap_or(10.0) * power
}

fn number(value: f64) -> String {
    match value {
        v if v >= 10_000.0 => format!("{:.0}k", v / 1_000.0),
        v if v >= 10.0 || v == 0.0 => format!("{v:.0}"),
        v => format!("{v:.2}"),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// A page around charts and preformatted text.
#[must_use]
pub fn page(title: &str, text: &str, charts: &[Chart]) -> String {
    let mut html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{0}</title>\
         <style>body{{font-family:sans-serif;max-width:900px;margin:2em auto}}\
         pre{{background:#f6f6f6;padding:1em;overflow-x:auto}}</style></head>\
         <body><h1>{0}</h1><pre>{1}</pre>",
        escape(title),
        escape(text)
    );
    for chart in charts {
        html += &chart.to_svg();
    }
    html + "</body></html>\n"
}

/// The page of one run.
#[must_use]
pub fn run_page(report: &Report) -> String {
    let over_time = |name, value: fn(&crate::run::Row) -> f64| Line {
        name,
        points: report
            .seconds
            .iter()
            .map(|row| (row.second as f64, value(row)))
            .collect(),
    };
    let charts = [
        Chart {
            title: "Transactions per second".into(),
            x: "seconds",
            y: "per second",
            lines: vec![
                over_time("sent", |row| row.sent as f64),
                over_time("ordered", |row| row.ordered as f64),
                over_time("dropped", |row| row.dropped as f64),
            ],
        },
        Chart {
            title: "Latency from intended time to ordered".into(),
            x: "seconds",
            y: "ms",
            lines: vec![
                over_time("p50", |row| row.p50_us as f64 / 1e3),
                over_time("p99", |row| row.p99_us as f64 / 1e3),
            ],
        },
        Chart {
            title: "Distribution of that latency".into(),
            x: "nines: 1 = p90, 2 = p99, 3 = p99.9",
            y: "ms",
            lines: vec![Line {
                name: "latency",
                points: nines(&report.curve),
            }],
        },
    ];
    page("Load test", &report.to_text(), &charts)
}

/// Percentiles on the scale of nines: -log10 of the share above. The last point, of all, has no place on
/// it and is put a step behind the one before.
fn nines(curve: &[(f64, u64)]) -> Vec<(f64, f64)> {
    let mut points: Vec<(f64, f64)> = Vec::with_capacity(curve.len());
    for (percentile, us) in curve {
        let above = 1.0 - percentile / 100.0;
        let x = match above > 0.0 {
            true => -above.log10(),
            false => points.last().map_or(0.0, |(x, _)| x + 0.3),
        };
        points.push((x, *us as f64 / 1e3));
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_numbers_above_the_data() {
        for (max, expected) in [(0.0, 1.0), (0.7, 0.75), (99.0, 100.0), (20_400.0, 30_000.0)] {
            assert!((nice_max(max) / expected - 1.0).abs() < 1e-9, "{max}");
        }
    }

    #[test]
    fn text_can_not_break_out_of_the_page() {
        let html = page("<script>", "a & b", &[]);
        assert!(html.contains("&lt;script&gt;") && html.contains("a &amp; b"));
        assert!(!html.contains("<script>"));
    }

    #[test]
    fn nines_of_a_distribution() {
        let points = nines(&[(0.0, 1_000), (90.0, 2_000), (99.0, 3_000), (100.0, 9_000)]);
        let x: Vec<_> = points.iter().map(|(x, _)| (x * 10.0).round()).collect();
        assert_eq!(x, [0.0, 10.0, 20.0, 23.0]);
        assert_eq!(points[3].1, 9.0);
    }

    #[test]
    fn every_line_of_a_run_is_drawn() {
        let html = run_page(&Report::default());
        assert_eq!(html.matches("<polyline").count(), 6);
    }
}
