//! Curves as pictures: an SVG of a few lines over a logarithmic axis, that shows in a README as it is.
//!
//! It knows nothing of what is drawn. Read first: SVG 1.1, the chapters on paths and text.

use std::fmt::Write;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 200.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 48.0;

/// Told apart by those who don't see all colours.
const COLOURS: [&str; 7] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#666666"];

/// One line of a picture.
pub struct Line {
    pub name: String,
    /// Pairs of what is varied and what came of it; the former grow.
    pub points: Vec<(f64, f64)>,
}

/// Draws `lines`. The axis below is logarithmic, the other one begins at zero.
pub fn draw(title: &str, below: &str, beside: &str, lines: &[Line]) -> String {
    let all = || lines.iter().flat_map(|line| &line.points);
    let (least, most) = all().fold((f64::MAX, f64::MIN), |(a, b), (x, _)| (a.min(*x), b.max(*x)));
    let top = nice(all().fold(0.0, |top: f64, (_, y)| top.max(*y)));
    let span = (most / least).log10().max(0.1);
    let at_x = |x: f64| LEFT + (x / least).log10() / span * (WIDTH - LEFT - RIGHT);
    let at_y = |y: f64| HEIGHT - BOTTOM - y / top * (HEIGHT - TOP - BOTTOM);

    let mut out = String::new();
    let mut put = |text: String| {
        // Writing to a String can't fail.
        let _ = writeln!(out, "{text}");
    };
    put(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"13\">"
    ));
    put(format!("<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>"));
    put(format!("<text x=\"{LEFT}\" y=\"22\" font-size=\"15\" fill=\"#222\">{}</text>", plain(title)));
    for step in 0..=4 {
        let y = top * f64::from(step) / 4.0;
        let place = at_y(y);
        put(format!("<path d=\"M{LEFT} {place:.1}H{:.1}\" stroke=\"#ddd\"/>", WIDTH - RIGHT));
        put(format!(
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#444\">{}</text>",
            LEFT - 8.0,
            place + 4.0,
            short(y)
        ));
    }
    let mut x = least;
    while x <= most * 1.001 {
        put(format!(
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#444\">{}</text>",
            at_x(x),
            HEIGHT - BOTTOM + 18.0,
            short(x)
        ));
        x *= 10.0;
    }
    put(format!("<text x=\"{LEFT}\" y=\"{:.1}\" fill=\"#444\">{}</text>", HEIGHT - 10.0, plain(below)));
    put(format!("<text x=\"8\" y=\"{:.1}\" fill=\"#444\">{}</text>", TOP - 6.0, plain(beside)));
    for (index, line) in lines.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let points: Vec<String> =
            line.points.iter().map(|(x, y)| format!("{:.1},{:.1}", at_x(*x), at_y(*y))).collect();
        put(format!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            points.join(" ")
        ));
        for (x, y) in &line.points {
            put(format!("<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{colour}\"/>", at_x(*x), at_y(*y)));
        }
        let place = TOP + 8.0 + index as f64 * 20.0;
        put(format!(
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"12\" height=\"3\" fill=\"{colour}\"/>",
            WIDTH - RIGHT + 12.0,
            place - 5.0
        ));
        put(format!(
            "<text x=\"{:.1}\" y=\"{place:.1}\" fill=\"#222\" font-size=\"11\">{}</text>",
            WIDTH - RIGHT + 30.0,
            plain(&line.name)
        ));
    }
    put("</svg>".to_owned());
    out
}

/// A round number not below `value`.
fn nice(value: f64) -> f64 {
    let power = 10_f64.powf(value.max(1e-9).log10().floor());
    let steps = [1.0, 2.0, 4.0, 5.0, 8.0, 10.0];
    steps.iter().map(|step| step * power).find(|step| *step >= value).unwrap_or(10.0 * power)
}

fn short(value: f64) -> String {
    if value >= 10_000.0 {
        return format!("{}k", value / 1_000.0);
    }
    if value.fract().abs() < 1e-9 { format!("{value}") } else { format!("{value:.2}") }
}

fn plain(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
