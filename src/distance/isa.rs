//! Which instruction set the kernels use.
//!
//! The machine's instruction sets are detected once. `VECTROVE_MAX_ISA` limits the choice, for
//! measurements or to exclude a set. `VECTROVE_MIN_ISA` names the set that the machine should have;
//! a machine with less logs a warning.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

use super::Kernels;

/// Instruction sets, from least to most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Isa {
    /// The instructions of the compiler's target.
    Portable,
    /// NEON, which every 64-bit ARM has.
    Neon,
    /// AVX2 and FMA.
    Avx2,
    /// AVX-512 F, BW, VL, DQ and VNNI.
    Avx512,
}

impl Isa {
    const ALL: [Isa; 4] = [Isa::Portable, Isa::Neon, Isa::Avx2, Isa::Avx512];

    /// The set to use: the most that this machine has, unless the environment limits it.
    pub(crate) fn detect() -> Isa {
        static DETECTED: OnceLock<Isa> = OnceLock::new();
        *DETECTED.get_or_init(|| {
            let (min, max) = (from_environment("VECTROVE_MIN_ISA"), from_environment("VECTROVE_MAX_ISA"));
            let (isa, suffices) = choose(&Isa::available(), min, max);
            if let (Some(min), false) = (min, suffices) {
                tracing::warn!("VECTROVE_MIN_ISA asks for {min}, but {isa} is all there is: searches will be slower");
            }
            isa
        })
    }

    /// All sets that this machine has, from least to most, whatever the environment says.
    pub(crate) fn available() -> Vec<Isa> {
        Kernels::runnable().map(|kernels| kernels.isa).collect()
    }
}

/// The most of `available` up to `max`, and whether it reaches `min`.
fn choose(available: &[Isa], min: Option<Isa>, max: Option<Isa>) -> (Isa, bool) {
    let within = available.iter().copied().filter(|isa| max.is_none_or(|max| *isa <= max));
    let isa = within.max().unwrap_or(Isa::Portable);
    (isa, min.is_none_or(|min| isa >= min))
}

/// The set that an environment variable names. An unknown name is logged and ignored.
fn from_environment(variable: &str) -> Option<Isa> {
    let text = std::env::var_os(variable)?;
    let isa = text.to_str().and_then(|text| text.parse().ok());
    if isa.is_none() {
        tracing::warn!("{variable}: expected portable, neon, avx2 or avx512, got {text:?}: it is ignored");
    }
    isa
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Isa::Portable => "portable",
            Isa::Neon => "neon",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
        })
    }
}

impl FromStr for Isa {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Isa::ALL.into_iter().find(|isa| isa.to_string().eq_ignore_ascii_case(text)).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_within_the_cap_is_chosen() {
        use Isa::{Avx2, Avx512, Neon, Portable};
        let x86 = [Portable, Avx2, Avx512];
        assert_eq!(choose(&x86, None, None), (Avx512, true));
        assert_eq!(choose(&x86, None, Some(Avx2)), (Avx2, true));
        assert_eq!(choose(&x86, None, Some(Neon)), (Portable, true));
        assert_eq!(choose(&x86, Some(Avx512), None), (Avx512, true));
        assert_eq!(choose(&x86, Some(Avx512), Some(Avx2)), (Avx2, false));
        assert_eq!(choose(&[Portable, Neon], Some(Avx2), Some(Avx512)), (Neon, false));
        assert_eq!(choose(&[Portable], Some(Portable), Some(Portable)), (Portable, true));
        assert_eq!(choose(&[], None, None), (Portable, true));
    }

    #[test]
    fn names_round_trip() {
        for isa in Isa::ALL {
            assert_eq!(isa.to_string().parse(), Ok(isa));
            assert_eq!(isa.to_string().to_uppercase().parse(), Ok(isa));
        }
        assert_eq!("sse".parse::<Isa>(), Err(()));
    }

    #[test]
    fn what_is_available_is_in_order_and_has_kernels() {
        let available = Isa::available();
        assert_eq!(available.first(), Some(&Isa::Portable));
        assert!(available.is_sorted());
        for isa in Isa::ALL {
            let kernels = Kernels::of(isa);
            assert_eq!(kernels.map(|kernels| kernels.isa), available.contains(&isa).then_some(isa));
        }
    }
}
