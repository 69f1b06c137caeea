//! A figure as SVG text.

use crate::world::Measured;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 60.0;
const BOTTOM: f64 = 50.0;
const COLOURS: [&str; 2] = ["#1f6fb2", "#c0562b"];

/// Median and 99th percentile of the commit latency over the size of the committee, one colour per map.
#[must_use]
pub fn latency(lines: &[(String, Vec<Measured>)]) -> String {
    let all = || lines.iter().flat_map(|(_, points)| points);
    let widest = all().map(|point| point.members).max().unwrap_or(1) as f64;
    // Room above the lines for their names.
    let highest = all().map(|point| point.p99_ms).max().unwrap_or(1) as f64 * 1.35;
    let x = |members: usize| LEFT + members as f64 / widest * (WIDTH - LEFT - 20.0);
    let y = |ms: f64| HEIGHT - BOTTOM - ms / highest * (HEIGHT - BOTTOM - 20.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    let step = (highest / 5.0 / 50.0).ceil() * 50.0;
    let mut mark = 0.0;
    while mark < highest {
        let at = y(mark);
        svg += &format!(
            "<line x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{:.1}\" y2=\"{at:.1}\" stroke=\"#ddd\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{mark:.0}</text>\n",
            WIDTH - 20.0,
            LEFT - 8.0,
            at + 4.0
        );
        mark += step;
    }
    for point in lines
        .first()
        .map(|(_, points)| points.as_slice())
        .unwrap_or_default()
    {
        svg += &format!(
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\n",
            x(point.members),
            HEIGHT - BOTTOM + 18.0,
            point.members
        );
    }
    svg += &format!(
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">operators</text>\n\
         <text x=\"14\" y=\"{:.1}\" transform=\"rotate(-90 14 {:.1})\" text-anchor=\"middle\">proposal to commit, ms</text>\n",
        WIDTH / 2.0,
        HEIGHT - 10.0,
        HEIGHT / 2.0,
        HEIGHT / 2.0
    );
    for (index, ((name, points), colour)) in lines.iter().zip(COLOURS).enumerate() {
        for (value, dash) in [(false, ""), (true, " stroke-dasharray=\"5 4\"")] {
            let path: Vec<_> = points
                .iter()
                .map(|point| {
                    let ms = if value { point.p99_ms } else { point.p50_ms };
                    format!("{:.1},{:.1}", x(point.members), y(ms as f64))
                })
                .collect();
            svg += &format!(
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"{dash}/>\n",
                path.join(" ")
            );
        }
        let row = 34.0 + 18.0 * index as f64;
        svg += &format!(
            "<text x=\"{:.1}\" y=\"{row:.1}\" fill=\"{colour}\">{name}: median, 99th percentile dashed</text>\n",
            LEFT + 14.0
        );
    }
    svg + "</svg>\n"
}
