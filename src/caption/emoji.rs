//! Emoji sequences that X's text library (twitter-text 3.1 with twemoji-parser 11) counts as one emoji.

use std::{ops::Range, sync::LazyLock};

use regex::Regex;

/// The expression of twemoji-parser 11.0.2 (MIT licence, Twitter, Inc. and other contributors), in its order.
///
/// Left out is every alternative of a single character: outside a sequence, an emoji weighs what the default weight
/// of a character is. Newer emoji are not in it, so their parts are counted, as the library does.
const SEQUENCES: &str = r"(?x)
    # A person and a profession.
    [\x{1f468}\x{1f469}] [\x{1f3fb}-\x{1f3ff}]? \x{200d} (?: [\x{2695}\x{2696}\x{2708}] \x{fe0f}
      | [\x{1f33e}\x{1f373}\x{1f393}\x{1f3a4}\x{1f3a8}\x{1f3eb}\x{1f3ed}\x{1f4bb}\x{1f4bc}\x{1f527}\x{1f52c}\x{1f680}
         \x{1f692}\x{1f9b0}-\x{1f9b3}] )
    # A person doing something, as a woman or a man.
    | [\x{1f3cb}\x{1f3cc}\x{1f574}\x{1f575}\x{26f9}] [\x{1f3fb}-\x{1f3ff}\x{fe0f}] \x{200d} [\x{2640}\x{2642}] \x{fe0f}
    | [
      \x{1f3c3}\x{1f3c4}\x{1f3ca}\x{1f46e}\x{1f471}\x{1f473}\x{1f477}\x{1f481}\x{1f482}\x{1f486}\x{1f487}
      \x{1f645}-\x{1f647}\x{1f64b}\x{1f64d}\x{1f64e}\x{1f6a3}\x{1f6b4}-\x{1f6b6}\x{1f926}\x{1f935}
      \x{1f937}-\x{1f939}\x{1f93d}\x{1f93e}\x{1f9b8}\x{1f9b9}\x{1f9d6}-\x{1f9dd}
      ] [\x{1f3fb}-\x{1f3ff}]? \x{200d} [\x{2640}\x{2642}] \x{fe0f}
    # Couples and families, then other joined emoji.
    | \x{1f468}\x{200d}\x{2764}\x{fe0f}\x{200d}\x{1f48b}\x{200d}\x{1f468}
    | \x{1f468}\x{200d}\x{1f468}\x{200d}\x{1f466}\x{200d}\x{1f466}
    | \x{1f468}\x{200d}\x{1f468}\x{200d}\x{1f467}\x{200d}[\x{1f466}\x{1f467}]
    | \x{1f468}\x{200d}\x{1f469}\x{200d}\x{1f466}\x{200d}\x{1f466}
    | \x{1f468}\x{200d}\x{1f469}\x{200d}\x{1f467}\x{200d}[\x{1f466}\x{1f467}]
    | \x{1f469}\x{200d}\x{2764}\x{fe0f}\x{200d}\x{1f48b}\x{200d}[\x{1f468}\x{1f469}]
    | \x{1f469}\x{200d}\x{1f469}\x{200d}\x{1f466}\x{200d}\x{1f466}
    | \x{1f469}\x{200d}\x{1f469}\x{200d}\x{1f467}\x{200d}[\x{1f466}\x{1f467}]
    | \x{1f468}\x{200d}\x{2764}\x{fe0f}\x{200d}\x{1f468}
    | \x{1f468}\x{200d}\x{1f466}\x{200d}\x{1f466}
    | \x{1f468}\x{200d}\x{1f467}\x{200d}[\x{1f466}\x{1f467}]
    | \x{1f468}\x{200d}\x{1f468}\x{200d}[\x{1f466}\x{1f467}]
    | \x{1f468}\x{200d}\x{1f469}\x{200d}[\x{1f466}\x{1f467}]
    | \x{1f469}\x{200d}\x{2764}\x{fe0f}\x{200d}[\x{1f468}\x{1f469}]
    | \x{1f469}\x{200d}\x{1f466}\x{200d}\x{1f466}
    | \x{1f469}\x{200d}\x{1f467}\x{200d}[\x{1f466}\x{1f467}]
    | \x{1f469}\x{200d}\x{1f469}\x{200d}[\x{1f466}\x{1f467}]
    | \x{1f3f3}\x{fe0f}\x{200d}\x{1f308}
    | \x{1f3f4}\x{200d}\x{2620}\x{fe0f}
    | \x{1f441}\x{200d}\x{1f5e8}
    | \x{1f468}\x{200d}[\x{1f466}\x{1f467}]
    | \x{1f469}\x{200d}[\x{1f466}\x{1f467}]
    | \x{1f46f}\x{200d}\x{2640}\x{fe0f}
    | \x{1f46f}\x{200d}\x{2642}\x{fe0f}
    | \x{1f93c}\x{200d}\x{2640}\x{fe0f}
    | \x{1f93c}\x{200d}\x{2642}\x{fe0f}
    | \x{1f9de}\x{200d}\x{2640}\x{fe0f}
    | \x{1f9de}\x{200d}\x{2642}\x{fe0f}
    | \x{1f9df}\x{200d}\x{2640}\x{fe0f}
    | \x{1f9df}\x{200d}\x{2642}\x{fe0f}
    # Keycaps.
    | [\#*0-9] \x{fe0f}? \x{20e3}
    # Characters that the variation selector makes an emoji.
    | [\x{a9}\x{ae}\x{2122}\x{265f}] \x{fe0f}
    | [
      \x{203c}\x{2049}\x{2139}\x{2194}-\x{2199}\x{21a9}\x{21aa}\x{231a}\x{231b}\x{2328}\x{23cf}\x{23ed}-\x{23ef}
      \x{23f1}\x{23f2}\x{23f8}-\x{23fa}\x{24c2}\x{25aa}\x{25ab}\x{25b6}\x{25c0}\x{25fb}-\x{25fe}\x{2600}-\x{2604}
      \x{260e}\x{2611}\x{2614}\x{2615}\x{2618}\x{2620}\x{2622}\x{2623}\x{2626}\x{262a}\x{262e}\x{262f}
      \x{2638}-\x{263a}\x{2640}\x{2642}\x{2648}-\x{2653}\x{2660}\x{2663}\x{2665}\x{2666}\x{2668}\x{267b}\x{267f}
      \x{2692}-\x{2697}\x{2699}\x{269b}\x{269c}\x{26a0}\x{26a1}\x{26aa}\x{26ab}\x{26b0}\x{26b1}\x{26bd}\x{26be}
      \x{26c4}\x{26c5}\x{26c8}\x{26cf}\x{26d1}\x{26d3}\x{26d4}\x{26e9}\x{26ea}\x{26f0}-\x{26f5}\x{26f8}\x{26fa}
      \x{26fd}\x{2702}\x{2708}\x{2709}\x{270f}\x{2712}\x{2714}\x{2716}\x{271d}\x{2721}\x{2733}\x{2734}\x{2744}
      \x{2747}\x{2757}\x{2763}\x{2764}\x{27a1}\x{2934}\x{2935}\x{2b05}-\x{2b07}\x{2b1b}\x{2b1c}\x{2b50}\x{2b55}
      \x{3030}\x{303d}\x{3297}\x{3299}\x{1f004}\x{1f170}\x{1f171}\x{1f17e}\x{1f17f}\x{1f202}\x{1f21a}\x{1f22f}
      \x{1f237}\x{1f321}\x{1f324}-\x{1f32c}\x{1f336}\x{1f37d}\x{1f396}\x{1f397}\x{1f399}-\x{1f39b}\x{1f39e}
      \x{1f39f}\x{1f3cd}\x{1f3ce}\x{1f3d4}-\x{1f3df}\x{1f3f3}\x{1f3f5}\x{1f3f7}\x{1f43f}\x{1f441}\x{1f4fd}
      \x{1f549}\x{1f54a}\x{1f56f}\x{1f570}\x{1f573}\x{1f576}-\x{1f579}\x{1f587}\x{1f58a}-\x{1f58d}\x{1f5a5}
      \x{1f5a8}\x{1f5b1}\x{1f5b2}\x{1f5bc}\x{1f5c2}-\x{1f5c4}\x{1f5d1}-\x{1f5d3}\x{1f5dc}-\x{1f5de}\x{1f5e1}
      \x{1f5e3}\x{1f5e8}\x{1f5ef}\x{1f5f3}\x{1f5fa}\x{1f6cb}\x{1f6cd}-\x{1f6cf}\x{1f6e0}-\x{1f6e5}\x{1f6e9}
      \x{1f6f0}\x{1f6f3}
      ] \x{fe0f}
    # Skin tones.
    | [
      \x{261d}\x{26f7}\x{26f9}\x{270c}\x{270d}\x{1f3cb}\x{1f3cc}\x{1f574}\x{1f575}\x{1f590}
      ] (?: \x{fe0f} [\x{1f3fb}-\x{1f3ff}]? | [\x{1f3fb}-\x{1f3ff}] )
    | [
      \x{270a}\x{270b}\x{1f385}\x{1f3c2}-\x{1f3c4}\x{1f3c7}\x{1f3ca}\x{1f442}\x{1f443}\x{1f446}-\x{1f450}
      \x{1f466}-\x{1f469}\x{1f46e}\x{1f470}-\x{1f478}\x{1f47c}\x{1f481}-\x{1f483}\x{1f485}-\x{1f487}\x{1f4aa}
      \x{1f57a}\x{1f595}\x{1f596}\x{1f645}-\x{1f647}\x{1f64b}-\x{1f64f}\x{1f6a3}\x{1f6b4}-\x{1f6b6}\x{1f6c0}
      \x{1f6cc}\x{1f918}-\x{1f91c}\x{1f91e}\x{1f91f}\x{1f926}\x{1f930}-\x{1f939}\x{1f93d}\x{1f93e}\x{1f9b5}
      \x{1f9b6}\x{1f9b8}\x{1f9b9}\x{1f9d1}-\x{1f9dd}
      ] [\x{1f3fb}-\x{1f3ff}]
    # Flags spelled in tags, then those of two letters.
    | \x{1f3f4}\x{e0067}\x{e0062}\x{e0065}\x{e006e}\x{e0067}\x{e007f}
    | \x{1f3f4}\x{e0067}\x{e0062}\x{e0073}\x{e0063}\x{e0074}\x{e007f}
    | \x{1f3f4}\x{e0067}\x{e0062}\x{e0077}\x{e006c}\x{e0073}\x{e007f}
    | \x{1f1e6}[\x{1f1e8}-\x{1f1ec}\x{1f1ee}\x{1f1f1}\x{1f1f2}\x{1f1f4}\x{1f1f6}-\x{1f1fa}\x{1f1fc}\x{1f1fd}\x{1f1ff}]
    | \x{1f1e7}[\x{1f1e6}\x{1f1e7}\x{1f1e9}-\x{1f1ef}\x{1f1f1}-\x{1f1f4}\x{1f1f6}-\x{1f1f9}\x{1f1fb}\x{1f1fc}\x{1f1fe}\x{1f1ff}]
    | \x{1f1e8}[\x{1f1e6}\x{1f1e8}\x{1f1e9}\x{1f1eb}-\x{1f1ee}\x{1f1f0}-\x{1f1f5}\x{1f1f7}\x{1f1fa}-\x{1f1ff}]
    | \x{1f1e9}[\x{1f1ea}\x{1f1ec}\x{1f1ef}\x{1f1f0}\x{1f1f2}\x{1f1f4}\x{1f1ff}]
    | \x{1f1ea}[\x{1f1e6}\x{1f1e8}\x{1f1ea}\x{1f1ec}\x{1f1ed}\x{1f1f7}-\x{1f1fa}]
    | \x{1f1eb}[\x{1f1ee}-\x{1f1f0}\x{1f1f2}\x{1f1f4}\x{1f1f7}]
    | \x{1f1ec}[\x{1f1e6}\x{1f1e7}\x{1f1e9}-\x{1f1ee}\x{1f1f1}-\x{1f1f3}\x{1f1f5}-\x{1f1fa}\x{1f1fc}\x{1f1fe}]
    | \x{1f1ed}[\x{1f1f0}\x{1f1f2}\x{1f1f3}\x{1f1f7}\x{1f1f9}\x{1f1fa}]
    | \x{1f1ee}[\x{1f1e8}-\x{1f1ea}\x{1f1f1}-\x{1f1f4}\x{1f1f6}-\x{1f1f9}]
    | \x{1f1ef}[\x{1f1ea}\x{1f1f2}\x{1f1f4}\x{1f1f5}]
    | \x{1f1f0}[\x{1f1ea}\x{1f1ec}-\x{1f1ee}\x{1f1f2}\x{1f1f3}\x{1f1f5}\x{1f1f7}\x{1f1fc}\x{1f1fe}\x{1f1ff}]
    | \x{1f1f1}[\x{1f1e6}-\x{1f1e8}\x{1f1ee}\x{1f1f0}\x{1f1f7}-\x{1f1fb}\x{1f1fe}]
    | \x{1f1f2}[\x{1f1e6}\x{1f1e8}-\x{1f1ed}\x{1f1f0}-\x{1f1ff}]
    | \x{1f1f3}[\x{1f1e6}\x{1f1e8}\x{1f1ea}-\x{1f1ec}\x{1f1ee}\x{1f1f1}\x{1f1f4}\x{1f1f5}\x{1f1f7}\x{1f1fa}\x{1f1ff}]
    | \x{1f1f4}\x{1f1f2}
    | \x{1f1f5}[\x{1f1e6}\x{1f1ea}-\x{1f1ed}\x{1f1f0}-\x{1f1f3}\x{1f1f7}-\x{1f1f9}\x{1f1fc}\x{1f1fe}]
    | \x{1f1f6}\x{1f1e6} | \x{1f1f7}[\x{1f1ea}\x{1f1f4}\x{1f1f8}\x{1f1fa}\x{1f1fc}]
    | \x{1f1f8}[\x{1f1e6}-\x{1f1ea}\x{1f1ec}-\x{1f1f4}\x{1f1f7}-\x{1f1f9}\x{1f1fb}\x{1f1fd}-\x{1f1ff}]
    | \x{1f1f9}[\x{1f1e6}\x{1f1e8}\x{1f1e9}\x{1f1eb}-\x{1f1ed}\x{1f1ef}-\x{1f1f4}\x{1f1f7}\x{1f1f9}\x{1f1fb}\x{1f1fc}\x{1f1ff}]
    | \x{1f1fa}[\x{1f1e6}\x{1f1ec}\x{1f1f2}\x{1f1f3}\x{1f1f8}\x{1f1fe}\x{1f1ff}]
    | \x{1f1fb}[\x{1f1e6}\x{1f1e8}\x{1f1ea}\x{1f1ec}\x{1f1ee}\x{1f1f3}\x{1f1fa}]
    | \x{1f1fc}[\x{1f1eb}\x{1f1f8}] | \x{1f1fd}\x{1f1f0} | \x{1f1fe}[\x{1f1ea}\x{1f1f9}]
    | \x{1f1ff}[\x{1f1e6}\x{1f1f2}\x{1f1fc}]
";

static PATTERN: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(SEQUENCES).expect("the expression is a constant and valid"));

/// Returns the sequences in `text` as ranges of its characters, in order.
pub(super) fn find(text: &[char]) -> Vec<Range<usize>> {
    // Plain text is the common case; each sequence has one of these.
    let in_sequence = |c: &char| matches!(c, '\u{fe0f}' | '\u{20e3}' | '\u{200d}' | '\u{1f1e6}'..='\u{1f1ff}' | '\u{1f3fb}'..='\u{1f3ff}' | '\u{e007f}');
    if !text.iter().any(in_sequence) {
        return Vec::new();
    }
    let joined: String = text.iter().collect();
    let (mut byte, mut index) = (0, 0);
    let mut found = Vec::new();
    for sequence in PATTERN.find_iter(&joined) {
        index += joined[byte..sequence.start()].chars().count();
        let start = index;
        index += sequence.as_str().chars().count();
        byte = sequence.end();
        found.push(start..index);
    }
    found
}
