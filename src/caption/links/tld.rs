//! Top-level domains that make a link of a bare domain.

/// Whether `name`, in lower case and its ASCII form, is one: of the root zone as it is, or known to X's text library.
pub(super) fn is_tld(name: &str) -> bool {
    tld::exist(name) || RETIRED.binary_search(&name).is_ok()
}

/// What twitter-text 3.1 links and the root zone no longer has, or never had: `.onion` (RFC 7686). Whether X still
/// links them is not known; counted as links, no short one makes a caption too long for X.
#[rustfmt::skip]
const RETIRED: [&str; 147] = [
    "abarth", "active", "adac", "afamilycompany", "aigo", "alfaromeo", "an", "avianca", "bananarepublic",
    "bentley", "bl", "blanco", "bnl", "boots", "bq", "budapest", "bugatti", "cancerresearch", "cartier",
    "caseih", "cbs", "ceb", "chloe", "chrysler", "cityeats", "comcast", "cookingchannel", "csc", "dabur",
    "dodge", "doha", "doosan", "duck", "dunlop", "duns", "eh", "epost", "esurance", "etisalat", "everbank",
    "fiat", "flsmidth", "foodnetwork", "frontdoor", "fujixerox", "glade", "goo", "goodhands", "guardian",
    "helsinki", "hgtv", "honeywell", "hoteles", "htc", "iinet", "intel", "iselect", "iveco", "iwc", "jcp",
    "jlc", "juniper", "kerrylogistics", "kinder", "ladbrokes", "lancaster", "lancia", "lancome", "liaison",
    "linde", "lipsy", "lixil", "loft", "lupin", "macys", "maserati", "mcd", "mcdonalds", "meo", "metlife",
    "mf", "mobily", "montblanc", "mopar", "movistar", "mtpc", "mutual", "mutuelle", "nadex", "nationwide",
    "natura", "newholland", "northwesternmutual", "off", "oldnavy", "onion", "onyourside", "orientexpress",
    "pamperedchef", "panerai", "passagens", "piaget", "pramerica", "qvc", "raid", "redstone", "rightathome",
    "rmit", "rocher", "sapo", "sca", "scjohnson", "scor", "ses", "shaw", "showtime", "shriram", "spiegel",
    "spreadbetting", "srt", "starhub", "statoil", "swiftcover", "symantec", "telecity", "telefonica",
    "tiffany", "tp", "travelchannel", "uconnect", "um", "vista", "vistaprint", "volkswagen", "vuelos",
    "warman", "wolterskluwer", "xfinity", "xn--3oq18vl8pn36a", "xn--estv75g", "xn--jlq61u9w7b",
    "xn--kpu716f", "xn--mgbaakc7dvf", "xn--mgbb9fbpob", "xn--pbt977c", "xperia", "zippo",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_retired_are_sorted_and_not_in_the_root_zone() {
        assert!(RETIRED.is_sorted());
        for name in RETIRED {
            assert!(!tld::exist(name), "{name} is back; take it off the list");
        }
    }
}
