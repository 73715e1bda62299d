//! Pictures of numbers, as SVG: drawn here, so that no script is needed. Each stands beside a table of the same numbers.
//!
//! The colours are marks that the stylesheet replaces, for light and for dark pages.

use plotters::prelude::{
    ChartBuilder, Color, IntoDrawingArea, IntoFont, IntoSegmentedCoord, RGBColor, Rectangle, SVGBackend, SegmentValue, TextStyle,
};
use serde::Serialize;

/// What stands for the text's and the lines' colours.
const INK: RGBColor = RGBColor(0x11, 0x11, 0x11);
const LINE: RGBColor = RGBColor(0xdd, 0xdd, 0xdd);

/// One colour a series; the stylesheet knows them as `key-1` and so on.
const COLOURS: [(u8, u8, u8); 6] =
    [(0x1b, 0x87, 0x5a), (0x4f, 0x83, 0xcc), (0xc0, 0x39, 0x2b), (0xd6, 0x8a, 0x00), (0x8a, 0x8f, 0x98), (0x7d, 0x5b, 0xa6)];

/// A picture with the numbers it shows.
#[derive(Debug, Clone, Serialize)]
pub struct Chart {
    /// What stands above it.
    pub title: String,
    /// What it shows, in a sentence.
    pub description: String,
    /// The picture.
    pub svg: String,
    /// What the rows are.
    pub row_title: String,
    /// The series' names.
    pub columns: Vec<String>,
    /// The numbers, a row a label.
    pub rows: Vec<(String, Vec<i64>)>,
    /// Colours tell several series apart.
    pub keyed: bool,
}

/// Numbers to be drawn: a column of each label's numbers, one upon the other.
#[derive(Debug, Clone)]
pub struct Bars<'a> {
    /// What makes the picture's own names unique on its page.
    pub id: &'a str,
    /// What stands above it.
    pub title: &'a str,
    /// What it shows, in a sentence.
    pub description: &'a str,
    /// What the labels are.
    pub row_title: &'a str,
    /// The series' names, at most six.
    pub series: Vec<String>,
    /// Labels with a number for each series.
    pub rows: Vec<(String, Vec<i64>)>,
}

const WIDTH: u32 = 640;
const HEIGHT: u32 = 240;

/// Labels that fit below.
const LABELS_MAX: usize = 9;

impl Chart {
    /// Draws columns.
    #[must_use]
    pub fn bars(bars: Bars<'_>) -> Self {
        let highest = bars.rows.iter().map(|(_, numbers)| numbers.iter().sum::<i64>()).max().unwrap_or(0).max(1);
        let mut svg = String::new();
        // What cannot be drawn is in the table all the same.
        if let Err(error) = draw_bars(&mut svg, &bars, highest) {
            tracing::warn!(error, chart = bars.id, "a chart cannot be drawn");
            svg.clear();
        }
        Self {
            svg: told(&svg, bars.id, bars.title, bars.description),
            title: bars.title.to_owned(),
            description: bars.description.to_owned(),
            row_title: bars.row_title.to_owned(),
            keyed: bars.series.len() > 1,
            columns: bars.series,
            rows: bars.rows,
        }
    }

    /// Draws a grid in which more is darker: `rows` of numbers, one for each of `columns`.
    #[must_use]
    pub fn heat(
        id: &str,
        title: &str,
        description: &str,
        row_title: &str,
        columns: Vec<String>,
        rows: Vec<(String, Vec<i64>)>,
    ) -> Self {
        let mut svg = String::new();
        if let Err(error) = draw_heat(&mut svg, &columns, &rows) {
            tracing::warn!(error, chart = id, "a chart cannot be drawn");
            svg.clear();
        }
        Self {
            svg: told(&svg, id, title, description),
            title: title.to_owned(),
            description: description.to_owned(),
            row_title: row_title.to_owned(),
            columns,
            rows,
            keyed: false,
        }
    }
}

fn text() -> TextStyle<'static> {
    ("sans-serif", 14).into_font().color(&INK)
}

fn draw_bars(svg: &mut String, bars: &Bars<'_>, highest: i64) -> Result<(), String> {
    let said = |error: &dyn std::fmt::Display| error.to_string();
    let count = i32::try_from(bars.rows.len()).map_err(|error| said(&error))?.max(1);
    let area = SVGBackend::with_string(svg, (WIDTH, HEIGHT)).into_drawing_area();
    let mut chart = ChartBuilder::on(&area)
        .margin(8)
        .x_label_area_size(28)
        .y_label_area_size(52)
        .build_cartesian_2d((0..count - 1).into_segmented(), 0..highest + highest.div_euclid(20) + 1)
        .map_err(|error| said(&error))?;
    let label = |at: &SegmentValue<i32>| match at {
        SegmentValue::CenterOf(at) => {
            usize::try_from(*at).ok().and_then(|at| bars.rows.get(at)).map(|(label, _)| label.clone()).unwrap_or_default()
        }
        _ => String::new(),
    };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(LINE.mix(0.0))
        .bold_line_style(LINE)
        .axis_style(LINE)
        .x_labels(bars.rows.len().min(LABELS_MAX))
        .y_labels(5)
        .x_label_formatter(&label)
        .x_label_style(text())
        .y_label_style(text())
        .draw()
        .map_err(|error| said(&error))?;
    let mut columns = Vec::new();
    for (at, (_, numbers)) in (0..count).zip(&bars.rows) {
        let mut from = 0;
        for (number, (r, g, b)) in numbers.iter().zip(COLOURS) {
            if *number > 0 {
                let corners = [(SegmentValue::Exact(at), from), (SegmentValue::Exact(at + 1), from + number)];
                let mut column = Rectangle::new(corners, RGBColor(r, g, b).filled());
                column.set_margin(0, 0, 2, 2);
                columns.push(column);
            }
            from += number;
        }
    }
    chart.draw_series(columns).map_err(|error| said(&error))?;
    drop(chart);
    area.present().map_err(|error| said(&error))
}

fn draw_heat(svg: &mut String, columns: &[String], rows: &[(String, Vec<i64>)]) -> Result<(), String> {
    let said = |error: &dyn std::fmt::Display| error.to_string();
    let length = |len: usize| i32::try_from(len).map_err(|error| said(&error));
    let (across, down) = (length(columns.len())?.max(1), length(rows.len())?.max(1));
    let most = rows.iter().flat_map(|(_, numbers)| numbers).copied().max().unwrap_or(0).max(1);
    let area = SVGBackend::with_string(svg, (WIDTH, HEIGHT)).into_drawing_area();
    let mut chart = ChartBuilder::on(&area)
        .margin(8)
        .x_label_area_size(28)
        .y_label_area_size(52)
        .build_cartesian_2d((0..across - 1).into_segmented(), (0..down - 1).into_segmented())
        .map_err(|error| said(&error))?;
    let at = |place: &SegmentValue<i32>| match place {
        SegmentValue::CenterOf(at) => usize::try_from(*at).ok(),
        _ => None,
    };
    chart
        .configure_mesh()
        .disable_mesh()
        .axis_style(LINE)
        .x_labels(columns.len().min(LABELS_MAX))
        .y_labels(rows.len())
        .x_label_formatter(&|place| at(place).and_then(|at| columns.get(at)).cloned().unwrap_or_default())
        // The first row stands above.
        .y_label_formatter(&|place| {
            at(place).and_then(|at| rows.get(rows.len().checked_sub(at + 1)?)).map(|(label, _)| label.clone()).unwrap_or_default()
        })
        .x_label_style(text())
        .y_label_style(text())
        .draw()
        .map_err(|error| said(&error))?;
    let (r, g, b) = COLOURS[0];
    let mut cells = Vec::new();
    for (row, (_, numbers)) in (0..down).rev().zip(rows) {
        for (column, number) in (0..across).zip(numbers) {
            #[expect(clippy::cast_precision_loss, reason = "a shade")]
            let shade = *number as f64 / most as f64;
            let corners = [
                (SegmentValue::Exact(column), SegmentValue::Exact(row)),
                (SegmentValue::Exact(column + 1), SegmentValue::Exact(row + 1)),
            ];
            let mut cell = Rectangle::new(corners, RGBColor(r, g, b).mix(0.06 + 0.94 * shade).filled());
            cell.set_margin(1, 1, 1, 1);
            cells.push(cell);
        }
    }
    chart.draw_series(cells).map_err(|error| said(&error))?;
    drop(chart);
    area.present().map_err(|error| said(&error))
}

/// Gives a picture its name and description, for who hears the page, and lets it be as wide as there is room.
fn told(svg: &str, id: &str, title: &str, description: &str) -> String {
    let escaped = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let Some((_, drawn)) = svg.split_once('>') else { return String::new() };
    format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-labelledby=\"{id}-title {id}-desc\" xmlns=\"http://www.w3.org/2000/svg\">\
         <title id=\"{id}-title\">{}</title><desc id=\"{id}-desc\">{}</desc>{drawn}",
        escaped(title),
        escaped(description)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(rows: Vec<(String, Vec<i64>)>) -> Chart {
        let series = vec!["a".to_owned(), "b".to_owned()];
        Chart::bars(Bars { id: "c", title: "<b>", description: "d & e", row_title: "day", series, rows })
    }

    #[test]
    fn columns_are_drawn_with_their_name() {
        let chart = some(vec![("<1>".to_owned(), vec![3, 1]), ("2".to_owned(), vec![0, 0])]);
        assert!(chart.svg.starts_with("<svg viewBox=\"0 0 640 240\" role=\"img\""), "{}", chart.svg);
        assert!(chart.svg.contains("<title id=\"c-title\">&lt;b&gt;</title><desc id=\"c-desc\">d &amp; e</desc>"));
        assert_eq!((chart.svg.matches("#1B875A").count(), chart.svg.matches("#4F83CC").count()), (1, 1), "{}", chart.svg);
        assert!(!chart.svg.contains("<1>") && !chart.svg.contains("style="), "{}", chart.svg);
        assert!(chart.svg.trim_end().ends_with("</svg>"));
    }

    #[test]
    fn nothing_is_no_trouble() {
        assert!(some(Vec::new()).svg.contains("</svg>"));
        let heat = Chart::heat("h", "t", "d", "r", Vec::new(), Vec::new());
        assert!(heat.svg.contains("</svg>"));
        let heat = Chart::heat("h", "t", "d", "r", vec!["0".into(), "1".into()], vec![("月".into(), vec![0, 5])]);
        assert_eq!(heat.svg.matches("#1B875A").count(), 2, "{}", heat.svg);
    }
}
