//! The page of `du --html` and `stats --html`, in a real browser.

use crate::common::{Place, have, is_root};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Runs a command so many days ago, where a clock can be had that says so: else now. Whether it was another day.
fn ago(place: &Place, days: usize, arguments: &str, more: &[&str]) -> bool {
    let has_clock = have("faketime", &["-f", "-1d", "true"]);
    let now = place.command(arguments);
    let mut then = Command::new("faketime");
    then.args(["-f", &format!("-{days}d")]).arg(now.get_program()).args(now.get_args());
    then.current_dir(place.path("")).env("PLUGCACHE_DIR", place.store());
    let mut command = if has_clock { then } else { now };
    let code = command.args(more).output().unwrap().status.code();
    assert!(matches!(code, Some(0 | 3)), "{code:?}");
    has_clock
}

/// Labels and sizes of all kinds, and of all ages.
fn place() -> Place {
    let place = Place::new();
    place.write("a.c", "a");
    for (number, label) in
        ["calculator", "</script><b>life", "mandelbrot", "piglatin", "ümläut"].iter().enumerate()
    {
        for version in 0..=number {
            let file = place.path("artifact");
            fs::write(&file, vec![b'x'; 3000 * (number + 1) * (number + 1) + version]).unwrap();
            let (days, context) = (27 * (4 - number) + version, format!("n={number}.{version}"));
            ago(&place, days, "put -s a.c artifact", &["--label", label, "-c", &context]);
        }
    }
    place
}

/// What the browser makes of a page: its document after the scripts have run.
fn document(page: &Path, more: &[&str]) -> Option<String> {
    if !have("chromium", &["--version"]) {
        return None;
    }
    let profile = tempfile::tempdir().unwrap();
    let mut command = Command::new("chromium");
    command.args(["--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]);
    command.args([
        "--disable-background-networking",
        "--disable-component-update",
        "--window-size=1200,1500",
    ]);
    if is_root() {
        command.arg("--no-sandbox");
    }
    command.arg(format!("--user-data-dir={}", profile.path().display())).args(more);
    let output = command.arg(format!("file://{}", page.display())).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

/// The page with a script at its end, which does what a user does and writes into the title what it sees.
fn with_script(place: &Place, name: &str, script: &str) -> PathBuf {
    let page = fs::read_to_string(place.path(name)).unwrap();
    let path = place.path("scripted.html");
    let all = format!("<script>window.onerror = (e) => document.title = e;\n{script}</script></body>");
    fs::write(&path, page.replace("</body>", &all)).unwrap();
    path
}

fn title(document: &str) -> &str {
    document.split("<title>").nth(1).unwrap().split("</title>").next().unwrap()
}

#[test]
fn the_page_is_one_file_that_asks_nobody_else() {
    let place = place();
    for verb in ["du", "stats"] {
        place.out(&format!("{verb} --html {verb}.html"));
        let page = place.read(&format!("{verb}.html"));
        // The one address in it names a kind of elements, and is not asked.
        assert_eq!(page.replace("http://www.w3.org/2000/svg", "").matches("http:").count(), 0);
        assert!(!page.contains("https:"));
        assert!(page.contains("default-src 'none'") && !page.contains("</script><b>"), "{verb}");
        assert!(!page.contains("src=\"") && !page.contains("@import") && !page.contains("url("));
    }
}

#[test]
fn the_page_shows_labels_by_size_and_a_table_that_is_sorted_and_filtered() {
    let place = place();
    place.out("du --html du.html");
    let script = r##"
        const rows = () => [...document.querySelectorAll("#rows tr")].map((row) => row.firstChild.textContent);
        const boxes = [...document.querySelectorAll("#map button")];
        const area = (box) => box.clientWidth * box.clientHeight;
        const seen = [];
        seen.push(boxes.map((box) => box.firstChild.textContent).join());
        seen.push(boxes.every((box, n) => n === 0 || area(boxes[n - 1]) >= area(box) * 0.9));
        const inside = document.getElementById("map").getBoundingClientRect();
        seen.push(boxes.every((box) => box.getBoundingClientRect().right <= inside.right + 1));
        seen.push(rows().length, rows()[0]);
        document.querySelectorAll("#head button")[0].click();
        seen.push(rows()[0], document.querySelectorAll("#head th")[0].getAttribute("aria-sort"));
        const filter = document.getElementById("filter");
        filter.value = "MANDEL";
        filter.dispatchEvent(new Event("input"));
        seen.push(rows().join("+"), document.getElementById("count").textContent.split(",")[0]);
        document.title = JSON.stringify(seen);
    "##;
    let Some(document) = document(&with_script(&place, "du.html", script), &["--dump-dom"]) else { return };
    let seen: serde_json::Value =
        serde_json::from_str(&title(&document).replace("&lt;", "<").replace("&gt;", ">")).unwrap();
    let expected = serde_json::json!([
        "ümläut,piglatin,mandelbrot,</script><b>life,calculator",
        true,
        true,
        15,
        "ümläut",
        "</script><b>life",
        "ascending",
        "mandelbrot+mandelbrot+mandelbrot",
        "3 of 15"
    ]);
    assert_eq!(seen, expected);
}

#[test]
fn the_page_shows_hits_and_misses_by_the_day() {
    let place = Place::new();
    place.write("a.c", "a");
    place.write("artifact", "x");
    ago(&place, 5, "put -s a.c artifact", &[]);
    let is_other_day =
        (0..3).all(|_| ago(&place, 3, "path -s a.c", &[])) && ago(&place, 2, "path -s a.c -c n=1", &[]);
    if !is_other_day {
        println!("skipped: faketime is missing");
        return;
    }
    place.out("stats --html stats.html");
    let script = r##"
        const bars = [...document.querySelectorAll("#chart title")].map((bar) => bar.textContent.split(": ")[1]);
        document.title = JSON.stringify([bars, document.querySelector("#chart svg").getAttribute("aria-label").split(": ")[1]]);
    "##;
    let Some(document) = document(&with_script(&place, "stats.html", script), &["--dump-dom"]) else {
        return;
    };
    assert_eq!(title(&document), r#"[["3 hits","1 misses"],"3 hits, 1 misses"]"#);
}

#[test]
fn the_page_is_used_by_keyboard() {
    let place = place();
    place.out("stats --html stats.html");
    let script = r##"
        const press = (key) => document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
        const boxes = [...document.querySelectorAll("#map button")];
        const rows = () => document.querySelectorAll("#rows tr").length;
        const at = () => boxes.indexOf(document.activeElement);
        const seen = [boxes.filter((box) => box.tabIndex === 0).length];
        boxes[0].focus();
        press("ArrowRight"); seen.push(at());
        press("End"); seen.push(at());
        press("ArrowRight"); seen.push(at());
        press("Home"); seen.push(at());
        document.activeElement.click(); seen.push(rows(), document.activeElement.getAttribute("aria-pressed"));
        press("/"); seen.push(document.activeElement.id);
        press("Escape"); seen.push(rows());
        const focusable = [...document.querySelectorAll("button, input")].filter((e) => e.tabIndex >= 0 && !e.hidden);
        seen.push(focusable.length, focusable.every((e) => (e.getAttribute("aria-label") || e.textContent || e.labels?.length)));
        document.title = JSON.stringify(seen);
    "##;
    let Some(document) = document(&with_script(&place, "stats.html", script), &["--dump-dom"]) else {
        return;
    };
    assert_eq!(title(&document), r#"[1,1,4,4,0,5,"true","filter",15,9,true]"#);
}

/// Prints where the pictures are, for who wants to look: they stay if PLUGCACHE_PICTURES names a directory.
#[test]
fn the_page_is_drawn_in_light_and_in_dark() {
    let place = place();
    place.out("du --html du.html");
    let pictures = std::env::var_os("PLUGCACHE_PICTURES").map_or_else(|| place.path(""), PathBuf::from);
    for (name, flag) in [("light", None), ("dark", Some("--force-dark-mode"))] {
        let to = pictures.join(format!("{name}.png"));
        let shot = format!("--screenshot={}", to.display());
        let script = "document.title = getComputedStyle(document.body).backgroundColor;";
        let page = with_script(&place, "du.html", script);
        let flags: Vec<_> = flag.into_iter().collect();
        let Some(_) = document(&page, &[&flags[..], &[&shot]].concat()) else { return };
        let dom = document(&page, &[&flags[..], &["--dump-dom"]].concat()).unwrap();
        let expected = if name == "light" { "rgb(255, 255, 255)" } else { "rgb(13, 17, 23)" };
        assert_eq!(title(&dom), expected, "{name}");
        assert!(fs::metadata(&to).unwrap().len() > 10_000);
        println!("{}", to.display());
    }
}
