//! A command checks a proxy by the RFCs.

use simulator::conformance;
use simulator::judge::Verdict;
use simulator::report;
use simulator::world::EngineKind;

use super::arguments::Conformance;
use super::engines;
use super::failure::{Failed, USAGE, unwritten};
use super::files::print;

/// Checks a subject by the requirements that were asked for, and prints what came of each.
pub(crate) fn conformance(args: &Conformance) -> Result<u8, Failed> {
    let subject = engines::subject(&args.subject)?;
    engines::prepare_with(EngineKind::Live, &subject, args.proxy.as_deref())?;
    let code = Verdict::Unsupported.exit_code();
    let results = conformance::check(&subject, &args.section);
    let results = results.map_err(|text| Failed { code, text: format!("{text}\n") })?;
    if results.outcomes.is_empty() {
        let sections: Vec<&str> = conformance::all().map(|one| one.section).collect();
        let text = format!("--section: no requirement of {}; there are: {}\n", args.section, sections.join(", "));
        return Err(Failed { code: USAGE, text });
    }
    if let Some(file) = &args.junit {
        let text = report::conformance_junit(&results, args.strict);
        std::fs::write(file, text).map_err(|error| unwritten(file, &error))?;
    }
    print(&report::conformance(&results))?;
    Ok(u8::from(results.broken(args.strict) > 0))
}
