#!/usr/bin/env python3
"""What the three programs are made of on this platform, as CycloneDX 1.5: sbom.py FILE [LIBRARIES].

Everything that cargo links or runs to build them, by Cargo.lock with its checksums, and what of that needs what. Of the same lock file the
same bytes: no time, no random number. MLX, which cargo does not know on Linux, stands beside the crates, and so does each file in the folder
LIBRARIES, which goes with the programs: MLX's own, and the BLAS of the machine that made it.
"""
import hashlib
import json
import re
import subprocess
import sys
import uuid
from pathlib import Path

# Licences of the libraries that lie beside the programs, by the beginning of a file's name.
LICENSES = {
    "libmlx": "MIT",
    "libopenblas": "BSD-3-Clause",
    "libblas": "BSD-3-Clause",
    "liblapack": "BSD-3-Clause",
    "libgfortran": "GPL-3.0-or-later WITH GCC-exception-3.1",
    "libquadmath": "LGPL-2.1-or-later",
}

ROOTS = ["vertigo-cli", "vertigo-coordinator", "vertigo-worker"]
REPOSITORY = Path(__file__).resolve().parent.parent


def said(*command):
    return subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout


def checksums():
    """SHA-256 by name and version, as Cargo.lock has them."""
    found = {}
    for block in (REPOSITORY / "Cargo.lock").read_text().split("[[package]]")[1:]:
        fields = dict(re.findall(r'^(name|version|checksum) = "(.*)"$', block, re.M))
        if "checksum" in fields:
            found[fields["name"], fields["version"]] = fields["checksum"]
    return found


def reached(nodes, roots):
    """The packages that the roots need to be built and to run, tests left out, each with what it needs itself."""
    needs, waiting = {}, list(roots)
    while waiting:
        package = waiting.pop()
        if package not in needs:
            kinds = lambda dep: {kind["kind"] for kind in dep["dep_kinds"]}
            needs[package] = [dep["pkg"] for dep in nodes[package]["deps"] if kinds(dep) - {"dev"}]
            waiting += needs[package]
    return needs


def component(package, sums):
    name, version = package["name"], package["version"]
    purl = f"pkg:cargo/{name}@{version}"
    made = {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
    if package["description"]:
        made["description"] = " ".join(package["description"].split())
    if package["license"]:
        # Some crates still write `MIT/Apache-2.0`.
        made["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    if (name, version) in sums:
        made["hashes"] = [{"alg": "SHA-256", "content": sums[name, version]}]
    if package["repository"]:
        made["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    return made


def mlx(host):
    """MLX and its BLAS where they are libraries beside the programs, as deploy/mlx-linux/setup.sh fetched them."""
    if "linux" not in host:
        return []
    version = re.search(r"^mlx_version=(\S+)", (REPOSITORY / "deploy/mlx-linux/setup.sh").read_text(), re.M)[1]
    purl = f"pkg:pypi/mlx-cpu@{version}"
    made = {"type": "library", "bom-ref": purl, "name": "mlx-cpu", "version": version, "purl": purl}
    return [made | {"licenses": [{"license": {"id": "MIT"}}]}]


def libraries(folder):
    """The files that go with the programs. One whose licence is not known is not given away."""
    made = []
    for path in sorted(Path(folder).rglob("*.so*")):
        # As it lies in the tarball: lib/vertigo/…
        name = str(path.relative_to(Path(folder).parent.parent))
        licence = next((LICENSES[begins] for begins in LICENSES if path.name.startswith(begins)), None)
        if licence is None:
            sys.exit(f"sbom: error: {name}: under which licence is it? Enter it in LICENSES of deploy/sbom.py")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        it = {"type": "file", "bom-ref": f"file:{name}", "name": name}
        made.append(it | {"hashes": [{"alg": "SHA-256", "content": digest}], "licenses": [{"expression": licence}]})
    return made


def main(to, folder=None):
    host = re.search(r"^host: (.*)$", said("rustc", "-vV"), re.M)[1]
    metadata = json.loads(said("cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", host))
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    roots = [key for key, package in packages.items() if package["name"] in ROOTS and package["source"] is None]
    if len(roots) != len(ROOTS):
        sys.exit(f"sbom: error: the workspace lacks one of {', '.join(ROOTS)}")
    needs, sums = reached(nodes, roots), checksums()
    made = {key: component(packages[key], sums) for key in needs}
    ref = lambda key: made[key]["bom-ref"]
    version = packages[roots[0]]["version"]
    whole = f"pkg:generic/vertigo@{version}"
    beside = mlx(host) + (libraries(folder) if folder else [])
    graph = [{"ref": ref(key), "dependsOn": sorted({ref(other) for other in others})} for key, others in needs.items()]
    graph.append({"ref": whole, "dependsOn": sorted([ref(key) for key in roots] + [it["bom-ref"] for it in beside])})
    components = sorted([*made.values(), *beside], key=lambda it: it["bom-ref"])
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": whole,
                "name": "vertigo",
                "version": version,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            },
            "properties": [{"name": "vertigo:target", "value": host}],
        },
        "components": components,
        "dependencies": sorted(graph, key=lambda it: it["ref"]),
    }
    document["serialNumber"] = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(document, sort_keys=True))}"
    Path(to).write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    print(f"sbom: {to}: {len(components)} components", file=sys.stderr)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit("sbom: error: where to? sbom.py FILE [LIBRARIES]")
    main(*sys.argv[1:])
