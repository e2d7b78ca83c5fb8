//! Figures as lines of a table for people, or of JSON for programs.

use serde_json::{Map, Value as Json, json};

/// Prints figures.
#[derive(Clone, Copy)]
pub(crate) struct Report {
    pub(crate) is_json: bool,
}

impl Report {
    /// Prints a title.
    pub(crate) fn title(self, text: &str) {
        match self.is_json {
            true => println!("{}", json!({ "title": text })),
            false => println!("\n{text}"),
        }
    }

    /// Prints named figures of a part.
    pub(crate) fn line(self, part: &str, what: &str, figures: &[(&str, Json)]) {
        if self.is_json {
            let mut object =
                Map::from_iter([("part", part), ("what", what.trim())].map(|(k, v)| (k.to_owned(), json!(v))));
            object.extend(
                figures.iter().map(|(name, figure)| (name.replace(", ", " ").replace(' ', "_"), figure.clone())),
            );
            return println!("{}", Json::Object(object));
        }
        let figures: Vec<String> = figures.iter().map(|(name, figure)| format!("{name} {}", text_of(figure))).collect();
        println!("  {:<40} {}", if what.is_empty() { part } else { what }, figures.join("   "));
    }
}

fn text_of(figure: &Json) -> String {
    match figure {
        Json::String(text) => text.clone(),
        Json::Number(number) if number.is_f64() => {
            let number = number.as_f64().unwrap_or(f64::NAN);
            let n_digits = [100.0, 10.0, 1.0].iter().filter(|&&bound| number.abs() < bound).count();
            // Recall needs a fourth digit, a rate does not.
            format!("{number:.*}", if n_digits == 3 { 4 } else { n_digits })
        }
        other => other.to_string(),
    }
}

/// A figure from a process's answer; NaN if it is missing.
pub(crate) fn figure(answer: &Json, name: &str) -> f64 {
    answer[name].as_f64().unwrap_or(f64::NAN)
}

/// The same figure of several answers.
pub(crate) fn figures(answers: &[Json], name: &str) -> Vec<f64> {
    answers.iter().map(|answer| figure(answer, name)).collect()
}

/// The least of several figures.
pub(crate) fn best(figures: &[f64]) -> f64 {
    figures.iter().copied().fold(f64::NAN, f64::min)
}

/// The least-squares line through points: its beginning and its slope.
pub(crate) fn fit(points: &[(f64, f64)]) -> (f64, f64) {
    let n = points.len() as f64;
    let (mean_x, mean_y) = (points.iter().map(|p| p.0).sum::<f64>() / n, points.iter().map(|p| p.1).sum::<f64>() / n);
    let products: f64 = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let slope = products / points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum::<f64>();
    (mean_y - slope * mean_x, slope)
}

/// The slope of the second half of equally spaced figures.
pub(crate) fn late_slope(figures: &[f64]) -> f64 {
    let half = &figures[figures.len() / 2..];
    fit(&(0..).map(f64::from).zip(half.iter().copied()).collect::<Vec<_>>()).1
}
