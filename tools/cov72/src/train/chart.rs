//! The loss curve as an SVG picture: every inner step, the shared model at the start of each
//! window, and the entropy of the corpus as the floor.

use plotters::prelude::*;

use super::journal::Journal;

const SIZE_PX: (u32, u32) = (960, 540);
const STEP_COLOUR: RGBColor = RGBColor(86, 132, 196);
const SHARED_COLOUR: RGBColor = RGBColor(196, 78, 40);
const FLOOR_COLOUR: RGBColor = RGBColor(90, 90, 90);

/// The picture of a run, or what the drawing library says.
pub(super) fn svg(name: &str, journal: &Journal, entropy: Option<f64>) -> Result<String, String> {
    let mut picture = String::new();
    draw(&mut picture, name, journal, entropy).map_err(|error| error.to_string())?;
    Ok(picture)
}

fn draw(
    picture: &mut String,
    name: &str,
    journal: &Journal,
    entropy: Option<f64>,
) -> Result<(), Box<dyn std::error::Error>> {
    let losses: Vec<f64> =
        journal.steps.iter().flat_map(|window| window.loss_nats.iter().copied()).collect();
    let mut starts = Vec::new();
    let mut step = 0;
    for window in &journal.steps {
        starts.extend(window.loss_nats.first().map(|&loss| (step as f64, loss)));
        step += window.loss_nats.len();
    }
    let high = losses.iter().copied().fold(0.0, f64::max).max(1e-3) * 1.05;
    let low = losses.iter().copied().chain(entropy).fold(high, f64::min);
    let root = SVGBackend::with_string(picture, SIZE_PX).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(format!("{name}: loss over inner steps"), ("sans-serif", 22))
        .margin(16)
        .x_label_area_size(44)
        .y_label_area_size(56)
        .build_cartesian_2d(0.0..step.max(1) as f64, (low * 0.9).max(0.0)..high)?;
    chart
        .configure_mesh()
        .light_line_style(BLACK.mix(0.04))
        .x_desc("inner steps")
        .y_desc("nats per token")
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| format!("{y:.2}"))
        .draw()?;
    let legend = |colour: RGBColor| {
        move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], colour.stroke_width(2))
    };
    let steps = losses.iter().enumerate().map(|(i, &loss)| (i as f64, loss));
    chart
        .draw_series(LineSeries::new(steps, STEP_COLOUR.stroke_width(1)))?
        .label("each inner step")
        .legend(legend(STEP_COLOUR));
    chart
        .draw_series(LineSeries::new(starts, SHARED_COLOUR.stroke_width(2)).point_size(3))?
        .label("shared model, at the start of each window")
        .legend(legend(SHARED_COLOUR));
    if let Some(entropy) = entropy {
        let floor = [(0.0, entropy), (step.max(1) as f64, entropy)];
        chart
            .draw_series(DashedLineSeries::new(floor, 6, 4, FLOOR_COLOUR.stroke_width(1)))?
            .label(format!("entropy of the corpus, {entropy:.3}"))
            .legend(legend(FLOOR_COLOUR));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.9))
        .border_style(BLACK.mix(0.2))
        .draw()?;
    root.present()?;
    Ok(())
}
