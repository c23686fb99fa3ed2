"""The Kubernetes example: rendered, valid, restricted; and the image does what its pods are set to do."""

from __future__ import annotations

import copy
import re
import time
from functools import cache
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

# What kubectl renders takes seconds, and each process of xdist would have it render all.
pytestmark = pytest.mark.xdist_group("kubernetes")

KUBERNETES = Path(__file__).parents[2] / "examples/kubernetes"

OVERLAYS = ["base", "overlays/staging", "overlays/production"]

PARTS = ["config", "migrate", "web"]
"""In the order in which they are applied."""

VERSIONS = ["1.33", "1.37"]
"""The oldest and the newest that are supported: https://kubernetes.io/releases/"""


@pytest.fixture(scope="module")
def applied(engine, tools):
    """Render a directory of the example as `kubectl apply --kustomize` does; return its objects."""

    def render(directory):
        text = engine.containers.run(
            f"{tools}:kubectl",
            ["kubectl", "kustomize", f"/kubernetes/{directory}"],
            volumes={str(KUBERNETES): {"bind": "/kubernetes", "mode": "ro"}},
            remove=True,
        )
        return list(yaml.safe_load_all(text))

    # kubectl takes a second or two.
    return cache(render)


@pytest.fixture(scope="module")
def rendered(applied):
    """Render a directory of the example; return its objects by kind."""

    def render(directory):
        by_kind = {each["kind"]: each for each in applied(directory)}
        assert len(by_kind) == len(applied(directory))
        return by_kind

    return render


@pytest.fixture(scope="module")
def whole(rendered):
    """Render all parts of the base or of an overlay; return the objects by kind."""

    def render(overlay):
        objects = {}
        for part in PARTS:
            found = rendered(f"{overlay}/{part}")
            # What two parts have is the same in both.
            assert all(objects[kind] == found[kind] for kind in objects.keys() & found.keys())
            objects |= found
        return objects

    return render


@pytest.fixture(scope="module", params=OVERLAYS)
def objects(request, whole):
    return whole(request.param)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_an_object_names_is_applied_with_it_or_before(rendered, overlay):
    there = {("Secret", "timing"), ("Secret", "timing-tls")}
    for part in PARTS:
        objects = rendered(f"{overlay}/{part}")
        there |= {(each["kind"], each["metadata"]["name"]) for each in objects.values()}
        wanted = {("Namespace", space) for each in objects.values() if (space := each["metadata"].get("namespace"))}
        for each in objects.values():
            wanted |= set(named_by(each))
        assert wanted <= there, part


def named_by(each):
    """The kinds and names of what an object cannot do without."""
    match each["kind"]:
        case "Deployment" | "Job":
            pod = each["spec"]["template"]["spec"]
            yield "ServiceAccount", pod["serviceAccountName"]
            for source in pod["containers"][0]["envFrom"]:
                yield "ConfigMap", source["configMapRef"]["name"]
            for volume in pod["volumes"]:
                if "secret" in volume:
                    yield "Secret", volume["secret"]["secretName"]
        case "HorizontalPodAutoscaler":
            yield each["spec"]["scaleTargetRef"]["kind"], each["spec"]["scaleTargetRef"]["name"]
        case "Ingress":
            yield "Secret", each["spec"]["tls"][0]["secretName"]
            yield "Service", each["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["name"]


def test_the_namespace_takes_restricted_pods_alone(objects):
    assert objects["Namespace"]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_each_release_has_a_migration_of_its_own(whole):
    """A Job cannot be changed."""
    job = whole("overlays/production")["Job"]
    tag = job["spec"]["template"]["spec"]["containers"][0]["image"].rpartition(":")[2]
    name = f"timing-migrate-{tag.replace('.', '-')}"

    assert job["metadata"]["name"] == name
    assert (KUBERNETES / "README.md").read_text().count(f"job/{name}") == 2


def test_production_lets_the_ingress_in_alone(whole):
    objects = whole("overlays/production")
    policy, pod = objects["NetworkPolicy"]["spec"], objects["Deployment"]["spec"]["template"]

    assert policy["podSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    assert [port["port"] for port in policy["ingress"][0]["ports"]] == [container_of(objects)["ports"][0]["name"]]
    (host,) = {rule["host"] for rule in objects["Ingress"]["spec"]["rules"]}
    assert host == objects["ConfigMap"]["data"]["ALLOWED_HOSTS"]


def pods(objects):
    """The pods that the objects lead to: the web server's and the migration's."""
    return [objects[kind]["spec"]["template"]["spec"] for kind in ("Deployment", "Job")]


@pytest.mark.parametrize("version", VERSIONS)
def test_valid(objects, version):
    for each in objects.values():
        kubernetes_validate.validate(each, version, strict=True)


VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}


def violations(pod):
    """What the Pod Security Standard "restricted" forbids and `pod` does.

    https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
    """
    shared = pod.get("securityContext", {})
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(field):
            yield field
    for volume in pod.get("volumes", []):
        yield from (f"volume {kind}" for kind in volume.keys() - {"name"} - VOLUMES)
    for container in pod["containers"] + pod.get("initContainers", []) + pod.get("ephemeralContainers", []):
        own = container.get("securityContext", {})
        merged = {**shared, **own}
        if merged.get("runAsNonRoot") is not True:
            yield "runAsNonRoot"
        if merged.get("runAsUser") == 0:
            yield "runAsUser"
        if merged.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
            yield "seccompProfile"
        if own.get("allowPrivilegeEscalation") is not False:
            yield "allowPrivilegeEscalation"
        if own.get("privileged") or own.get("procMount", "Default") != "Default" or merged.get("seLinuxOptions"):
            yield "privileged"
        capabilities = own.get("capabilities", {})
        if "ALL" not in capabilities.get("drop", []) or set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}:
            yield "capabilities"
        if shared.get("sysctls") or any(port.get("hostPort") for port in container.get("ports", [])):
            yield "host"


def test_restricted(objects):
    assert len(pods(objects)) == 2
    for pod in pods(objects):
        assert list(violations(pod)) == []
        # Beyond the standard.
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        assert all(container["securityContext"]["readOnlyRootFilesystem"] for container in pod["containers"])
        assert all(container["resources"]["limits"]["memory"] for container in pod["containers"])


@pytest.mark.parametrize(
    ("change", "violation"),
    [
        (lambda pod: pod["containers"][0].pop("securityContext"), "allowPrivilegeEscalation"),
        (lambda pod: pod.update(securityContext={}), "runAsNonRoot"),
        (lambda pod: pod.update(hostNetwork=True), "hostNetwork"),
        (lambda pod: pod["volumes"].append({"name": "host", "hostPath": {"path": "/"}}), "volume hostPath"),
        (lambda pod: pod["containers"][0]["securityContext"]["capabilities"].update(add=["SYS_ADMIN"]), "capabilities"),
    ],
)
def test_the_policy_finds_what_is_not(whole, change, violation):
    pod = copy.deepcopy(pods(whole("base"))[0])
    change(pod)

    assert violation in list(violations(pod))


def container_of(objects):
    return objects["Deployment"]["spec"]["template"]["spec"]["containers"][0]


def seconds(objects, name):
    return int(next(each["value"] for each in container_of(objects)["env"] if each["name"] == name))


def test_grace_periods_fit_each_other(objects):
    pod = objects["Deployment"]["spec"]["template"]["spec"]

    assert pod["terminationGracePeriodSeconds"] > seconds(objects, "GRACEFUL_TIMEOUT")
    assert seconds(objects, "GRACEFUL_TIMEOUT") * 3 / 4 > seconds(objects, "DRAIN_DELAY") + 30


def test_probes_leave_the_server_its_time(objects):
    startup, liveness = (container_of(objects)[probe] for probe in ("startupProbe", "livenessProbe"))

    assert startup["periodSeconds"] * startup["failureThreshold"] > 120  # BOOT_TIMEOUT
    assert liveness["periodSeconds"] * liveness["failureThreshold"] > 30  # TIMEOUT


def test_names_lead_to_each_other(objects):
    labels = objects["Deployment"]["spec"]["template"]["metadata"]["labels"]
    selectors = [
        objects["Service"]["spec"]["selector"],
        objects["Deployment"]["spec"]["selector"]["matchLabels"],
        objects["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
    ]
    assert all(selector.items() <= labels.items() for selector in selectors)
    # Else the service would send requests to the migration.
    migration = objects["Job"]["spec"]["template"]["metadata"]["labels"]
    assert not selectors[0].items() <= migration.items()
    assert (
        objects["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"]
        == objects["Deployment"]["metadata"]["name"]
    )
    (port,) = objects["Service"]["spec"]["ports"]
    assert (port["port"], port["targetPort"]) == (8000, container_of(objects)["ports"][0]["name"])
    config = objects["ConfigMap"]["metadata"]["name"]
    assert all(pod["containers"][0]["envFrom"] == [{"configMapRef": {"name": config}}] for pod in pods(objects))


def test_secrets_are_files(objects):
    for pod in pods(objects):
        (container,) = pod["containers"]
        files = {each["name"]: each["value"] for each in container["env"] if each["name"].endswith("_FILE")}
        assert files.keys() == {"SECRET_KEY_FILE", "PGPASSWORD_FILE"}
        mounted = [mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] == "secrets"]
        assert all(Path(file).parent == Path(mounted[0]) for file in files.values())


def test_overlays_name_their_image(whole):
    images = {overlay: {pod["containers"][0]["image"] for pod in pods(whole(overlay))} for overlay in OVERLAYS}

    assert images == {
        "base": {"paddock-example:django"},
        "overlays/staging": {"registry.example.com/timing:main"},
        "overlays/production": {"registry.example.com/timing:1.4.0"},
    }


def test_the_image_does_what_the_pod_is_set_to_do(start, whole, mount):
    """Start a container as the kubelet would start the pod's, but for the database and the clock of its probes."""
    objects = whole("base")
    spec = container_of(objects)
    environment = {**objects["ConfigMap"]["data"], **{each["name"]: each["value"] for each in spec["env"]}}
    environment["DATABASE_URL"] = "sqlite:////tmp/timing.sqlite3"
    limits = spec["resources"]["limits"]
    container = start(
        image="paddock-example:django",
        environment=environment,
        volumes=mount("/run/secrets/timing/secret_key", "secret") | mount("/run/secrets/timing/db_password", "secret"),
        read_only=spec["securityContext"]["readOnlyRootFilesystem"],
        cap_drop=spec["securityContext"]["capabilities"]["drop"],
        security_opt=["no-new-privileges"],
        tmpfs={"/tmp": "mode=1777"},
        nano_cpus=int(limits["cpu"]) * 10**9,
        mem_limit=int(re.fullmatch(r"(\d+)Mi", limits["memory"])[1]) * 2**20,
    ).wait_healthy()

    assert container.workers() == 2
    assert container.get(spec["readinessProbe"]["httpGet"]["path"]).status_code == 200
    assert container.get(spec["livenessProbe"]["httpGet"]["path"]).text == "alive"
    asked = time.monotonic()
    assert container.stop(objects["Deployment"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]) == 0
    assert time.monotonic() - asked >= seconds(objects, "DRAIN_DELAY")


CELERY = KUBERNETES.parent / "celery/kubernetes.yaml"


def test_pods_by_requests(applied):
    """What needs the Prometheus operator and KEDA is production's web, but for the autoscaler."""
    web, scaled = (
        {(each["kind"], each["metadata"]["name"]): each for each in applied(f"overlays/production/{part}")}
        for part in ("web", "web-by-requests")
    )

    assert scaled.keys() - web.keys() == {
        ("NetworkPolicy", "timing-metrics"),
        ("PodMonitor", "timing"),
        ("ScaledObject", "timing"),
    }
    assert web.keys() - scaled.keys() == {("HorizontalPodAutoscaler", "timing")}
    assert {each["metadata"]["namespace"] for each in scaled.values() if each["kind"] != "Namespace"} == {"timing"}
    deployment, monitor, scale = (scaled[kind, "timing"] for kind in ("Deployment", "PodMonitor", "ScaledObject"))
    pod = deployment["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert {"name": "METRICS_BIND", "value": f"0.0.0.0:{ports['metrics']}"} in container["env"]
    assert monitor["spec"]["podMetricsEndpoints"] == [{"port": "metrics"}]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    policy = scaled["NetworkPolicy", "timing-metrics"]["spec"]
    assert policy["podSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    assert policy["ingress"][0]["ports"] == [{"port": "metrics"}]
    assert scale["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    (trigger,) = scale["spec"]["triggers"]
    assert int(trigger["metadata"]["threshold"]) < int(container["resources"]["limits"]["cpu"]) * 4  # THREADS
    (metric,) = re.findall(r"paddock_\w+", trigger["metadata"]["query"])
    assert f"`{metric}`" in (KUBERNETES.parents[1] / "docs/metrics.md").read_text()
    for each in scaled.values():
        if each["kind"] not in ("PodMonitor", "ScaledObject"):
            kubernetes_validate.validate(each, VERSIONS[-1], strict=True)


def test_a_worker_of_celery_has_a_check_of_its_own(start):
    deployment = yaml.safe_load(CELERY.read_text())
    for version in VERSIONS:
        kubernetes_validate.validate(deployment, version, strict=True)
    template = deployment["spec"]["template"]
    assert deployment["spec"]["selector"]["matchLabels"] == template["metadata"]["labels"]
    assert list(violations(template["spec"])) == []
    (spec,) = template["spec"]["containers"]
    environment = {each["name"]: each["value"] for each in spec["env"]}
    assert template["spec"]["terminationGracePeriodSeconds"] > int(environment["TASK_TIME_LIMIT"])

    # Without a broker it waits for one, and looks alive until the file is too old; there is none yet.
    container = start(
        image=spec["image"],
        command=spec["args"],
        environment=environment,
        read_only=True,
        cap_drop=["ALL"],
        tmpfs={"/tmp": "mode=1777"},
    ).allow("Cannot connect to redis")
    container.wait_for_log("Cannot connect to redis")
    probe = spec["livenessProbe"]["exec"]["command"]
    assert container.attempt(*probe).status == 1
    container.run("touch", "/dev/shm/worker-alive")
    assert container.attempt(*probe).status == 0


def test_a_tag_that_moves_is_pulled_again(objects):
    for pod in pods(objects):
        (container,) = pod["containers"]
        assert container.get("imagePullPolicy") == ("Always" if container["image"].endswith(":main") else None)
