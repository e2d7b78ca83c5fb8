//! Text folding: normalised (NFKC), in lower case, without marks and invisible characters. Also
//! owns the kinds of characters that decide how text is split.

use std::borrow::Cow;

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfkc_quick};

/// A text in the form in which it is compared.
pub(super) fn folded(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        let is_lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
        return if is_lower { text.into() } else { text.to_ascii_lowercase().into() };
    }
    let seen = || text.chars().filter(|c| !is_unseen(*c));
    match is_nfkc_quick(seen()) == IsNormalized::Yes {
        true => lower(seen()),
        false => lower(seen().nfkc()),
    }
    .into()
}

fn lower(chars: impl Iterator<Item = char>) -> String {
    let unify = |c| match c {
        'ς' => 'σ',
        '‘' | '’' | 'ʼ' => '\'',
        _ => c,
    };
    chars.flat_map(char::to_lowercase).filter(|c| !is_mark(*c)).map(unify).collect()
}

/// Whether a character is invisible, or only changes how the one before it looks: Unicode's
/// `Default_Ignorable_Code_Point`, and skin tones. The zero width space is not among them, since it
/// separates words.
fn is_unseen(c: char) -> bool {
    c >= '\u{ad}'
        && matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{1f3fb}'..='\u{1f3ff}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// Whether a character is a mark that texts may omit. Such marks are accents for which there is no
/// composed letter, points of Hebrew, Arabic and Syriac, and the sign that stretches Arabic words
/// (tatweel). Vowels that are marks in other scripts, such as those of India, are not among them.
fn is_mark(c: char) -> bool {
    c >= '\u{300}'
        && matches!(c,
            '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}'
            | '\u{20d0}'..='\u{20f0}' | '\u{fe20}'..='\u{fe2f}'
            // Hebrew.
            | '\u{591}'..='\u{5bd}' | '\u{5bf}' | '\u{5c1}'..='\u{5c2}' | '\u{5c4}'..='\u{5c5}' | '\u{5c7}'
            // Arabic.
            | '\u{610}'..='\u{61a}' | '\u{640}' | '\u{64b}'..='\u{65f}' | '\u{670}' | '\u{6d6}'..='\u{6dc}'
            | '\u{6df}'..='\u{6e4}' | '\u{6e7}'..='\u{6e8}' | '\u{6ea}'..='\u{6ed}' | '\u{897}'..='\u{89f}'
            | '\u{8ca}'..='\u{8e1}' | '\u{8e3}'..='\u{8ff}'
            // Syriac.
            | '\u{711}' | '\u{730}'..='\u{74a}')
}

/// Whether a character is of a script without spaces, or of one indexed likewise: Han, kana,
/// Bopomofo, Hangul (whose words bear particles), Thai, Lao, Burmese, Khmer and the scripts of the
/// Tai.
pub(super) fn is_unspaced(c: char) -> bool {
    c >= '\u{e00}'
        && matches!(c,
            '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1100}'..='\u{11ff}' | '\u{1780}'..='\u{17ff}'
            | '\u{1950}'..='\u{19df}' | '\u{1a20}'..='\u{1aaf}' | '\u{2e80}'..='\u{2fdf}' | '\u{3005}'..='\u{3007}'
            | '\u{3021}'..='\u{3029}' | '\u{3031}'..='\u{3035}' | '\u{3038}'..='\u{303c}' | '\u{3041}'..='\u{31bf}'
            | '\u{31f0}'..='\u{31ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{a960}'..='\u{a97f}'
            | '\u{a9e0}'..='\u{a9ff}' | '\u{aa60}'..='\u{aadf}' | '\u{ac00}'..='\u{d7ff}' | '\u{f900}'..='\u{faff}'
            | '\u{17000}'..='\u{18dff}' | '\u{1aff0}'..='\u{1b2ff}' | '\u{20000}'..='\u{3ffff}')
}

/// Whether a character is an emoji or a similar picture: Unicode's `Extended_Pictographic`, flags,
/// and the blocks in which most of them lie.
pub(super) fn is_picture(c: char) -> bool {
    matches!(c,
        '\u{a9}' | '\u{ae}' | '\u{203c}' | '\u{2049}' | '\u{2194}'..='\u{2199}' | '\u{21a9}'..='\u{21aa}'
        | '\u{231a}'..='\u{231b}' | '\u{2328}' | '\u{23cf}' | '\u{23e9}'..='\u{23f3}' | '\u{23f8}'..='\u{23fa}'
        | '\u{25aa}'..='\u{25ab}' | '\u{25b6}' | '\u{25c0}' | '\u{25fb}'..='\u{25fe}' | '\u{2600}'..='\u{27bf}'
        | '\u{2934}'..='\u{2935}' | '\u{2b05}'..='\u{2b07}' | '\u{2b1b}'..='\u{2b1c}' | '\u{2b50}' | '\u{2b55}'
        | '\u{3030}' | '\u{303d}' | '\u{1f000}'..='\u{1faff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_read_alike_are_alike() {
        for (text, expected) in [
            ("", ""),
            ("Plain, 42", "plain, 42"),
            ("plain", "plain"),
            // One form of each character.
            ("e\u{301}COLE ﬁn Ｗｉｄｅ ｶﾞ", "école fin wide ガ"),
            ("ΟΔΟΣ οδος", "οδοσ οδοσ"),
            ("Straße", "straße"),
            ("l’homme l'homme", "l'homme l'homme"),
            // Invisible characters.
            ("da\u{ad}ta\u{2060}base\u{feff}", "database"),
            ("\u{200e}می\u{200c}خواهم", "میخواهم"),
            ("❤\u{fe0f} 👍🏽", "❤ 👍"),
            ("a\u{200b}b", "a\u{200b}b"),
            // Marks.
            ("İSTANBUL I\u{307}", "istanbul i"),
            ("за\u{301}мок Йод", "замок йод"),
            ("שָׁלוֹם \u{fb2a}", "שלום ש"),
            ("مُحَمَّد مـــحمد", "محمد محمد"),
            ("1\u{fe0f}\u{20e3}", "1"),
            ("हिन्दी குறிப்பு", "हिन्दी குறிப்பு"),
        ] {
            assert_eq!(folded(text), expected, "{text:?}");
            assert_eq!(folded(&folded(text)), folded(text), "{text:?}");
        }
    }

    #[test]
    fn characters_are_of_their_kinds() {
        for c in "北々〇あゝアーㇰㄅ가ᄀกກကក𠀀𛀀".chars() {
            assert!(is_unspaced(c) && !is_picture(c) && c.is_alphanumeric(), "{c}");
        }
        for c in "aé9_ßאعяहতꯀ🔥♥".chars() {
            assert!(!is_unspaced(c), "{c}");
        }
        for c in "🔥❤☃⭐⌚🇩🀄🫠©✓".chars() {
            assert!(is_picture(c), "{c}");
        }
        for c in "a1。、…—†•$+=→".chars() {
            assert!(!is_picture(c), "{c}");
        }
    }
}
