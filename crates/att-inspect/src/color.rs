use std::fmt;

/// A sequential scale of colours in which equal steps of weight look equally far apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ColorScale {
    /// White to dark blue: "Blues" of Harrower and Brewer 2003 (ColorBrewer). For white pages.
    #[default]
    Blues,
    /// Dark violet over green to yellow: "viridis" of van der Walt and Smith 2015. For any background.
    Viridis,
}

impl ColorScale {
    /// Every scale.
    pub const ALL: [Self; 2] = [Self::Blues, Self::Viridis];

    /// The colour at `fraction` of the way from the first colour to the last; clamped to `[0, 1]`.
    pub(crate) fn color(self, fraction: f32) -> Rgb {
        let stops = self.stops();
        let position = fraction.clamp(0.0, 1.0) * (stops.len() - 1) as f32;
        let below = (position as usize).min(stops.len() - 2);
        let between = position - below as f32;
        let mix = |a: u8, b: u8| (f32::from(a) + between * (f32::from(b) - f32::from(a))).round();
        let (Rgb(r0, g0, b0), Rgb(r1, g1, b1)) = (stops[below], stops[below + 1]);
        Rgb(mix(r0, r1) as u8, mix(g0, g1) as u8, mix(b0, b1) as u8)
    }

    /// The evenly spaced colours between which [`color`](Self::color) interpolates.
    pub(crate) fn stops(self) -> &'static [Rgb] {
        match self {
            Self::Blues => &BLUES,
            Self::Viridis => &VIRIDIS,
        }
    }
}

/// A colour in sRGB: red, green and blue. It displays as `#rrggbb`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rgb(pub u8, pub u8, pub u8);

impl Rgb {
    pub(crate) const BLACK: Self = Self(0, 0, 0);
    pub(crate) const WHITE: Self = Self(255, 255, 255);

    /// Black or white, whichever is the easier to read on this colour.
    pub(crate) fn ink(self) -> Self {
        // By the formula of WCAG 2 both are equal at 0.18; the eye takes white a little further.
        if self.luminance() > 0.2 {
            Self::BLACK
        } else {
            Self::WHITE
        }
    }

    /// The relative luminance of WCAG 2, from 0 (black) to 1 (white).
    fn luminance(self) -> f32 {
        let linear = |channel: u8| {
            let value = f32::from(channel) / 255.0;
            if value <= 0.04045 {
                value / 12.92
            } else {
                ((value + 0.055) / 1.055).powf(2.4)
            }
        };
        0.2126 * linear(self.0) + 0.7152 * linear(self.1) + 0.0722 * linear(self.2)
    }
}

impl fmt::Display for Rgb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{:02x}{:02x}{:02x}", self.0, self.1, self.2)
    }
}

const BLUES: [Rgb; 9] = [
    Rgb(247, 251, 255),
    Rgb(222, 235, 247),
    Rgb(198, 219, 239),
    Rgb(158, 202, 225),
    Rgb(107, 174, 214),
    Rgb(66, 146, 198),
    Rgb(33, 113, 181),
    Rgb(8, 81, 156),
    Rgb(8, 48, 107),
];

const VIRIDIS: [Rgb; 11] = [
    Rgb(68, 1, 84),
    Rgb(72, 36, 117),
    Rgb(64, 67, 135),
    Rgb(52, 95, 141),
    Rgb(41, 120, 142),
    Rgb(32, 144, 141),
    Rgb(34, 168, 132),
    Rgb(67, 191, 112),
    Rgb(122, 210, 81),
    Rgb(188, 223, 39),
    Rgb(253, 231, 37),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> impl Iterator<Item = f32> {
        (0..=100).map(|i| i as f32 / 100.0)
    }

    #[test]
    fn begins_and_ends_at_its_stops_and_clamps() {
        for scale in ColorScale::ALL {
            let stops = scale.stops();
            assert_eq!(scale.color(-1.0), stops[0]);
            assert_eq!(scale.color(0.0), stops[0]);
            assert_eq!(Some(&scale.color(1.0)), stops.last());
            assert_eq!(Some(&scale.color(7.0)), stops.last());
        }
        assert_eq!(ColorScale::Blues.color(1.0 / 16.0), Rgb(235, 243, 251));
    }

    #[test]
    fn luminance_goes_one_way() {
        for scale in ColorScale::ALL {
            let luminance: Vec<f32> = samples().map(|t| scale.color(t).luminance()).collect();
            let rises = luminance.windows(2).all(|w| w[0] < w[1]);
            let falls = luminance.windows(2).all(|w| w[0] > w[1]);
            assert!(rises || falls, "{scale:?}");
        }
    }

    #[test]
    fn ink_is_readable_everywhere() {
        for (scale, t) in ColorScale::ALL
            .into_iter()
            .flat_map(|s| samples().map(move |t| (s, t)))
        {
            let color = scale.color(t);
            let (a, b) = (color.luminance() + 0.05, color.ink().luminance() + 0.05);
            assert!(a.max(b) / a.min(b) >= 4.2, "{scale:?} at {t}");
        }
    }

    #[test]
    fn displays_as_hex() {
        assert_eq!(Rgb(8, 171, 255).to_string(), "#08abff");
    }
}
