//! What the policies say, as numbers: every switch, every list with its entries, every other word.

use std::collections::BTreeMap;

use serde_json::Value;

use super::page::{Page, flag, line};

enum Field<'a> {
    Switch(bool),
    List(usize),
    Item(&'a str),
    Text(&'a str),
}

/// The families of these policies: name and `spec` of each.
pub(super) fn tell(page: &mut Page, specs: &[(String, Value)]) {
    let (mut switches, mut lists, mut items, mut texts) = (Vec::new(), Vec::new(), BTreeMap::new(), Vec::new());
    for (policy, spec) in specs {
        flatten("", spec, &mut |field, value| {
            let labels = [("policy", policy.as_str()), ("field", field)];
            let with = |key, text| [&labels[..], &[(key, text)]].concat();
            match value {
                Field::Switch(is) => switches.push(line(&labels, flag(is))),
                Field::List(count) => lists.push(line(&labels, count)),
                // The same entry twice is one series.
                Field::Item(item) => _ = items.insert(line(&with("item", item), 1).0, "1".to_owned()),
                Field::Text(text) => texts.push(line(&with("value", text), 1)),
            }
        });
    }
    page.family("knotwork_host_policy_enabled", "gauge", "Switches of the policies, by field.", switches);
    page.family("knotwork_host_policy_items", "gauge", "How long the lists of the policies are, by field.", lists);
    let items = items.into_iter().collect();
    page.family("knotwork_host_policy_item", "gauge", "Entries of the lists of the policies, by field.", items);
    page.family("knotwork_host_policy_value", "gauge", "All else that the policies say, by field.", texts);
}

/// Every switch, list, list entry and text of a document, with its field.
fn flatten(at: &str, value: &Value, found: &mut dyn FnMut(&str, Field<'_>)) {
    match value {
        Value::Object(map) => {
            // A route is open where it does not say that it is closed: a switch of each, said or not.
            if at.starts_with("routes[") && !map.contains_key("failClosed") {
                found(&format!("{at}.failClosed"), Field::Switch(false));
            }
            for (key, value) in map {
                let at = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
                flatten(&at, value, found);
            }
        }
        Value::Array(items) => {
            found(at, Field::List(items.len()));
            for (index, item) in items.iter().enumerate() {
                match item {
                    Value::String(text) => found(at, Field::Item(text)),
                    Value::Number(number) => found(at, Field::Item(&number.to_string())),
                    other => {
                        // Parts of a policy have names.
                        let name = other.get("name").and_then(Value::as_str);
                        let at = format!("{at}[{}]", name.map_or_else(|| index.to_string(), str::to_owned));
                        flatten(&at, other, found);
                    }
                }
            }
        }
        Value::Bool(is) => found(at, Field::Switch(*is)),
        Value::String(text) if text == "On" || text == "Off" => found(at, Field::Switch(text == "On")),
        Value::String(text) => found(at, Field::Text(text)),
        Value::Number(number) => found(at, Field::Text(&number.to_string())),
        Value::Null => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_switch_and_list_of_a_policy_is_there() {
        let spec = serde_json::json!({
            "global": {"servers": ["192.0.2.1", "192.0.2.2"], "cache": "On", "dnssec": "Off", "extraListeners": []},
            "routes": [{"name": "lab", "domains": ["maas", "maas"], "failClosed": true}, {"name": "open", "domains": ["a"]}],
            "links": [{"match": {"name": "eth\"0"}, "defaultRoute": false, "dnsOverTLS": "Opportunistic"}],
            "priority": 5,
        });
        let mut page = Page::default();
        tell(&mut page, &[("p".into(), spec)]);
        let text = page.text();
        for line in [
            "knotwork_host_policy_items{policy=\"p\",field=\"global.servers\"} 2",
            "knotwork_host_policy_items{policy=\"p\",field=\"global.extraListeners\"} 0",
            "knotwork_host_policy_item{policy=\"p\",field=\"global.servers\",item=\"192.0.2.2\"} 1",
            "knotwork_host_policy_enabled{policy=\"p\",field=\"global.cache\"} 1",
            "knotwork_host_policy_enabled{policy=\"p\",field=\"global.dnssec\"} 0",
            "knotwork_host_policy_enabled{policy=\"p\",field=\"routes[lab].failClosed\"} 1",
            "knotwork_host_policy_enabled{policy=\"p\",field=\"routes[open].failClosed\"} 0",
            "knotwork_host_policy_enabled{policy=\"p\",field=\"links[0].defaultRoute\"} 0",
            "knotwork_host_policy_value{policy=\"p\",field=\"links[0].match.name\",value=\"eth\\\"0\"} 1",
            "knotwork_host_policy_value{policy=\"p\",field=\"links[0].dnsOverTLS\",value=\"Opportunistic\"} 1",
            "knotwork_host_policy_value{policy=\"p\",field=\"priority\",value=\"5\"} 1",
        ] {
            assert!(text.lines().any(|own| own == line), "{line}\n{text}");
        }
        // The same series twice makes a whole scrape invalid.
        assert_eq!(text.matches("item=\"maas\"").count(), 1, "{text}");
    }
}
