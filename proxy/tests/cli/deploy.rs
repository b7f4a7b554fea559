//! Tests that what is shipped for servers fits together: configuration, folders, probes.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::support::{Place, outcome};

fn shipped(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).unwrap()
}

/// The configuration inside the Kubernetes manifest.
fn in_manifest() -> Value {
    let manifest = shipped("deploy/kubernetes.yaml");
    let (_, behind) = manifest.split_once("proxy.json: |\n").unwrap();
    let (text, _) = behind.split_once("\n---").unwrap();
    serde_json::from_str(text).unwrap()
}

/// The folder of the control socket that a configuration names.
fn folder(config: &Value) -> String {
    let socket = config["server"]["control_socket"].as_str().expect("a configuration for servers names its socket");
    Path::new(socket).parent().unwrap().to_str().unwrap().to_owned()
}

#[test]
fn the_control_socket_lies_where_a_read_only_root_lets_it() {
    let config = |name: &str| serde_json::from_str::<Value>(&shipped(name)).unwrap();
    for (config, places) in [
        (config("configs/production.json"), ["docker-compose.prod.yml", "Dockerfile"]),
        (config("configs/docker.json"), ["docker-compose.test.yml", "Dockerfile.test"]),
    ] {
        let folder = folder(&config);
        let socket = &config["server"]["control_socket"];
        let check = format!("\"healthcheck\", \"--control-socket\", {socket}]");
        assert!(
            shipped("docker-compose.test.yml").contains(&check) && shipped("Dockerfile").contains(&check),
            "{check}"
        );
        assert!(shipped(places[0]).contains(&format!("- {folder}:uid=10001,")), "{}", places[0]);
        assert!(shipped(places[1]).contains(&format!("/empty {folder}\n")), "{}", places[1]);
    }
    let manifest = shipped("deploy/kubernetes.yaml");
    assert!(manifest.contains(&format!("{{ name: run, mountPath: {} }}", folder(&in_manifest()))));
    let unit = shipped("deploy/netdrift.service");
    let socket = config("configs/production.json")["server"]["control_socket"].as_str().unwrap().to_owned();
    assert!(unit.contains(&format!("proxy reload --control-socket {socket}\n")), "{unit}");
    let upgrade = format!("netdrift upgrade --control-socket {socket} ");
    assert!(shipped("deploy/debian/postinst").contains(&upgrade), "{upgrade}");
    assert!(unit.contains("\nRuntimeDirectory=netdrift\n") && socket.starts_with("/run/netdrift/"), "{unit}");
}

/// The step of the images in which a program that could not start there is refused, run as the engine runs it.
#[test]
fn a_program_that_asks_for_a_loader_comes_on_no_empty_image() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("proxy");
    for image in ["Dockerfile", "Dockerfile.test"] {
        let text = shipped(image);
        let (_, step) = text.split_once("RUN if [ \"$RUN_IMAGE\" = scratch ]").unwrap();
        let (step, _) = step.split_once("; fi\n").unwrap();
        let step =
            format!("if [ \"$RUN_IMAGE\" = scratch ]{step}; fi").replace("/built/proxy", program.to_str().unwrap());
        let is_taken = |bytes: &[u8], base: &str| {
            std::fs::write(&program, bytes).unwrap();
            let step = Command::new("sh").args(["-c", &step]).env("RUN_IMAGE", base).output().unwrap();
            assert!(step.status.success() || String::from_utf8_lossy(&step.stderr).contains("makes dynamic programs"));
            step.status.success()
        };
        for loader in ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1", "/lib/ld-musl-x86_64.so.1"] {
            let dynamic = [b"\x7fELF\0", loader.as_bytes(), b"\0"].concat();
            assert!(!is_taken(&dynamic, "scratch"), "{image}: {loader}");
            assert!(is_taken(&dynamic, "debian:bookworm-slim"), "{image}: {loader}");
        }
        assert!(is_taken(b"\x7fELF\0static\0", "scratch"), "{image}");
    }
}

#[test]
fn the_configuration_in_the_manifest_is_sound() {
    let mut place = Place::new();
    place.config = in_manifest();
    place.config["authentication"]["users"][0]["password"] = "word".into();
    place.write();
    let (code, out, _) = outcome(&mut place.command(&["--check"]));
    assert!(code == Some(0) && !out.contains("warning"), "{out}");
}

#[test]
fn a_pod_is_out_before_it_stops_serving_and_not_for_one_lost_probe() {
    let manifest = shipped("deploy/kubernetes.yaml");
    let of = |probe: &str, field: &str| -> u64 {
        let (_, behind) = manifest.split_once(&format!("{probe}:\n")).unwrap();
        let (_, behind) = behind.split_once(&format!("{field}: ")).unwrap();
        behind.lines().next().unwrap().parse().unwrap()
    };
    let out_after =
        Duration::from_secs(of("readinessProbe", "periodSeconds") * of("readinessProbe", "failureThreshold"));
    let delay = in_manifest()["server"]["drain_delay"].as_str().unwrap().to_owned();
    assert!(out_after < humantime::parse_duration(&delay).unwrap(), "{out_after:?} of {delay}");
    for probe in ["readinessProbe", "livenessProbe"] {
        assert!(of(probe, "failureThreshold") >= 3, "{probe}");
    }
}

/// The operator's own schema is no part of Kubernetes.
#[test]
fn the_service_monitor_finds_the_service_and_its_port() {
    let (monitor, manifest) = (shipped("deploy/servicemonitor.yaml"), shipped("deploy/kubernetes.yaml"));
    let service = manifest.split("\n---\n").find(|part| part.contains("\nkind: Service\n")).unwrap();
    let (_, behind) = monitor.split_once("matchLabels: ").unwrap();
    let labels = behind.lines().next().unwrap();
    assert!(service.contains(&format!("  labels: {labels}\n")), "{labels}");
    let (_, behind) = monitor.split_once("- port: ").unwrap();
    let port = behind.lines().next().unwrap();
    assert!(service.contains(&format!("{{ name: {port}, port: ")), "{port}");
    assert!(monitor.contains("path: /metrics\n") && in_manifest()["admin"]["listen_address"] == "0.0.0.0:9130");
}
