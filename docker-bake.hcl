variable "IMAGE" {
  type        = string
  default     = "paddock"
  description = "Repository of the tags: paddock for a local build, the registry's repository in CI"
  validation {
    condition     = length(regexall("^([a-z0-9.-]+(:[0-9]+)?/)?[a-z0-9][a-z0-9._/-]*$", IMAGE)) == 1
    error_message = "IMAGE must be a repository without a tag, like paddock or ghcr.io/someone/paddock."
  }
}

variable "EXAMPLE_IMAGE" {
  type        = string
  default     = "paddock-example"
  description = "Repository of the examples' tags"
}

variable "PYTHONS" {
  type        = list(string)
  default     = ["3.12", "3.13", "3.14", "3.15"]
  description = "The Python versions there is an image for"
}

variable "DEFAULT_PYTHON" {
  type        = string
  default     = "3.14"
  description = "The default Python: what :latest and the examples have"
  validation {
    condition     = contains(PYTHONS, DEFAULT_PYTHON)
    error_message = "DEFAULT_PYTHON must be one of PYTHONS."
  }
}

variable "EXAMPLES" {
  type = list(string)
  default = [
    "celery",
    "custom-conf",
    "django",
    "fastapi-poetry",
    "fastapi-uv",
    "flask-pip",
    "litestar",
    "observability",
    "opentelemetry",
    "starlette-websocket",
    "unix-socket-nginx",
  ]
  description = "The folders of examples/ that are an image"
}

variable "EXAMPLE_STAGES" {
  type = list(object({ example = string, stage = string }))
  default = [
    { example = "celery", stage = "test" },
    { example = "custom-conf", stage = "test" },
    { example = "django", stage = "test" },
    { example = "fastapi-poetry", stage = "black" },
    { example = "fastapi-poetry", stage = "test" },
    { example = "fastapi-uv", stage = "test" },
    { example = "fastapi-uv", stage = "lint" },
    { example = "fastapi-uv", stage = "dev" },
    { example = "flask-pip", stage = "test" },
    { example = "litestar", stage = "test" },
    { example = "observability", stage = "test" },
    { example = "opentelemetry", stage = "test" },
    { example = "starlette-websocket", stage = "test" },
    { example = "unix-socket-nginx", stage = "test" },
  ]
  description = "The examples' stages that are built too: tests and linters, which are done then, and dev, an image for Compose"
}

variable "COMPAT" {
  type        = list(string)
  default     = ["gunicorn", "inboard", "poetry", "s2i", "tiangolo", "tiangolo-fastapi"]
  description = "The stages of build/compat/Dockerfile: the images that there is a layer for"
}

variable "PADDOCK_PYTHON" {
  type        = string
  default     = DEFAULT_PYTHON
  description = "The Python of the images under test"
}

variable "TESTED_IMAGE" {
  type        = string
  default     = null
  description = "Repository of the images under test, such as what was pulled by digest. Unset: built here"
}

variable "BASE_IMAGE" {
  type        = string
  default     = null
  description = "Image to build on; {python} in it stands for the Python version. Unset: the Dockerfile's"
}

variable "UV_VERSION" {
  type        = string
  default     = null
  description = "uv's version. Unset: the Dockerfile's"
}

variable "PIP_VERSION" {
  type        = string
  default     = null
  description = "pip's version. Unset: the Dockerfile's"
}

variable "CACHE_FROM" {
  type        = string
  default     = ""
  description = "Where CI finds the layers of its last builds, such as type=gha,scope={target}. Unset: in its engine only"
}

variable "CACHE_TO" {
  type        = string
  default     = ""
  description = "Where CI leaves them; {target} stands for the name of the target"
}

variable "CA_FILE" {
  type        = string
  default     = null
  description = "Bundle of the certificates that the build trusts, where TLS goes through a proxy"
}

variable "UV_DEFAULT_INDEX" {
  type        = string
  default     = null
  description = "Index that uv installs from in place of PyPI"
}

variable "PIP_INDEX_URL" {
  type        = string
  default     = null
  description = "Index that pip installs from in place of PyPI"
}

variable "SOURCE" {
  type        = string
  default     = null
  description = "Address of the repository, for the image's labels"
}

variable "VERSION" {
  type        = string
  default     = null
  description = "Version of the image, for its tags and labels"
}

variable "STAGE" {
  type        = string
  default     = null
  description = "A tag's beginning that stands in for all others, such as sha-1a2b3c4: see ./dev publish"
}

variable "REVISION" {
  type        = string
  default     = null
  description = "Commit of the image, for its labels"
}

function "target_of" {
  params = [python, variant]
  result = "${variant}-${replace(python, ".", "-")}"
}

# The tags of an image, all of them here: 3.14, 3.14-slim; with a version 1.2.0-py3.14, 1.2.0-py3.14-slim, which never move,
# and 1.2-py3.14 and 1-py3.14, which follow; and for the default image of all, 1.2.0 and latest. STAGE is for what is pushed before it is tested.
function "tags" {
  params = [python, variant]
  result = [
    for tag in STAGE != null ? ["${STAGE}-py${python}${suffix(variant)}"] : concat(
      ["${python}${suffix(variant)}"],
      VERSION == null ? [] : ["${VERSION}-py${python}${suffix(variant)}"],
      VERSION == null ? [] : [
        for parts in [2, 1] : "${join(".", slice(split(".", VERSION), 0, parts))}-py${python}${suffix(variant)}"
      ],
      python == DEFAULT_PYTHON && variant == "full" ? concat(VERSION == null ? [] : [VERSION], ["latest"]) : [],
    ) :
    "${IMAGE}:${tag}"
  ]
}

# What takes minutes to build is kept between CI's runs, under a name for each target: a second one would replace the first.
function "cache" {
  params = [place, target]
  result = place == "" ? [] : [replace(place, "{target}", target)]
}

function "suffix" {
  params = [variant]
  result = variant == "full" ? "" : "-${variant}"
}

# What a test's Dockerfile builds on: the image of this commit, or what is tested in its place.
function "image_of" {
  params = [python, variant]
  result = (
    TESTED_IMAGE != null && python == PADDOCK_PYTHON
    ? "docker-image://${TESTED_IMAGE}:${python}${suffix(variant)}"
    : "target:${target_of(python, variant)}"
  )
}

# What `FROM paddock:3.14` means in an example, or in a test's Dockerfile.
function "images" {
  params = [python]
  result = {
    "paddock:${DEFAULT_PYTHON}"      = image_of(python, "full")
    "paddock:${DEFAULT_PYTHON}-slim" = image_of(python, "slim")
  }
}

group "default" {
  targets = [target_of(DEFAULT_PYTHON, "full"), target_of(DEFAULT_PYTHON, "slim")]
}

# What stands in for other images, and what their READMEs make of it.
group "compat-tests" {
  targets = concat([for peer in COMPAT : target_of(DEFAULT_PYTHON, "compat-${peer}")], ["readme"])
}

# What the tests start: the default Python, and one more.
group "tests" {
  targets = ["default", target_of("3.13", "full"), target_of("3.13", "slim"), "test-tools", "environment"]
}

# What some tests start beside the image or in its place.
group "test-tools" {
  targets = ["tools", "faketime", "kinds", "sets", "trusting-each"]
}

group "all" {
  targets = ["image", "compat"]
}

# With their own tests and linters.
group "examples" {
  targets = ["example", "example-stage"]
}

group "validate" {
  targets = ["image-check", "example-check"]
}

target "_secrets" {
  secret = concat(
    CA_FILE == null ? [] : ["type=file,id=ca,src=${CA_FILE}"],
    UV_DEFAULT_INDEX == null ? [] : ["type=env,id=UV_DEFAULT_INDEX"],
    PIP_INDEX_URL == null ? [] : ["type=env,id=PIP_INDEX_URL"],
  )
}

target "_common" {
  inherits = ["_secrets"]
  args = {
    UV_VERSION  = UV_VERSION
    PIP_VERSION = PIP_VERSION
  }
  labels = {
    "org.opencontainers.image.source"   = SOURCE
    "org.opencontainers.image.version"  = VERSION
    "org.opencontainers.image.revision" = REVISION
  }
}

target "image" {
  name     = target_of(python, variant)
  inherits = ["_common"]
  matrix = {
    python  = PYTHONS
    variant = ["full", "slim"]
  }
  target = variant
  args = {
    PYTHON_VERSION = python
    BASE_IMAGE     = BASE_IMAGE == null ? null : replace(BASE_IMAGE, "{python}", python)
  }
  tags       = tags(python, variant)
  cache-from = cache(CACHE_FROM, target_of(python, variant))
  cache-to   = cache(CACHE_TO, target_of(python, variant))
}

# Layers that stand in for other images.
target "compat" {
  name     = target_of(python, "compat-${peer}")
  inherits = ["_common"]
  matrix = {
    python = PYTHONS
    peer   = COMPAT
  }
  context  = "build/compat"
  contexts = { "paddock:full" = "target:${target_of(python, "full")}" }
  target   = peer
  # For who reads the plan: see .github/publish.py.
  args = { PYTHON_VERSION = python }
  tags     = tags(python, "compat-${peer}")
}

# The Dockerfiles of those images' READMEs as they are there, where their tags mean these layers.
target "compat-trusting" {
  name     = "compat-trusting-${peer}"
  inherits = [target_of(DEFAULT_PYTHON, "compat-${peer}")]
  matrix   = { peer = COMPAT }
  contexts = { "paddock:full" = "target:trusting" }
  tags     = []
  output   = ["type=cacheonly"]
}

target "readme" {
  name   = "readme-${row.peer}"
  matrix = {
    row = [
      { peer = "gunicorn", image = "ghcr.io/benoitc/gunicorn:24.1.0" },
      { peer = "inboard", image = "ghcr.io/br3ndonland/inboard:fastapi" },
      { peer = "poetry", image = "pfeiffermax/uvicorn-gunicorn-poetry:1.3.0-python3.9.14-slim-bullseye" },
      { peer = "s2i", image = "registry.access.redhat.com/ubi9/python-312" },
      { peer = "tiangolo", image = "tiangolo/uvicorn-gunicorn:python3.11" },
      { peer = "tiangolo-fastapi", image = "tiangolo/uvicorn-gunicorn-fastapi:python3.11" },
    ]
  }
  context  = "tests/compat/${row.peer}"
  contexts = { "${row.image}" = "target:compat-trusting-${row.peer}" }
  tags     = ["${IMAGE}-test:readme-${row.peer}"]
}

# Programs of Debian's that tests start beside the image: one image has them all, under each one's name.
target "tools" {
  inherits = ["_secrets"]
  context  = "tests/tools"
  args = {
    PYTHON_VERSION = DEFAULT_PYTHON
    BASE_IMAGE     = BASE_IMAGE == null ? null : replace(BASE_IMAGE, "{python}", DEFAULT_PYTHON)
  }
  tags = [
    for name in ["caddy", "chromium", "cosign", "haproxy", "kubectl", "nginx", "postgresql", "prometheus", "redis", "registry"] :
    "${IMAGE}-test:${name}"
  ]
  cache-from = cache(CACHE_FROM, "tools")
  cache-to   = cache(CACHE_TO, "tools")
}

target "faketime" {
  inherits = ["_secrets"]
  context  = "tests/image/faketime"
  contexts = { "paddock:slim" = image_of(DEFAULT_PYTHON, "slim") }
  tags     = ["${IMAGE}-test:faketime"]
}

# Every framework in one environment; the default Python only, because some have no wheels for the newest yet.
target "kinds" {
  inherits = ["_secrets"]
  context  = "tests/image/kinds"
  contexts = { "paddock:full" = image_of(DEFAULT_PYTHON, "full") }
  tags       = ["${IMAGE}-test:kinds"]
  cache-from = cache(CACHE_FROM, "kinds")
  cache-to   = cache(CACHE_TO, "kinds")
}

# Environments with what applications have pinned, beside the server's own packages.
target "sets" {
  name     = "sets-${replace(python, ".", "-")}"
  inherits = ["_secrets"]
  matrix   = { python = ["3.13", DEFAULT_PYTHON] }
  context  = "tests/image/sets"
  contexts = { "paddock:full" = image_of(python, "full"), apps = "tests/image/sets/apps" }
  tags       = ["${IMAGE}-test:${python}-sets"]
  cache-from = cache(CACHE_FROM, "sets-${replace(python, ".", "-")}")
  cache-to   = cache(CACHE_TO, "sets-${replace(python, ".", "-")}")
}

# The image for the Dockerfiles of docs/, which know nothing of the proxy or mirror that this machine may need.
target "trusting-each" {
  name     = python == DEFAULT_PYTHON ? "trusting" : "trusting-${replace(python, ".", "-")}"
  inherits = ["_secrets"]
  matrix   = { python = ["3.13", DEFAULT_PYTHON] }
  context  = "tests/docs/trusting"
  contexts = { "paddock:full" = image_of(python, "full") }
  args = {
    UV_DEFAULT_INDEX = UV_DEFAULT_INDEX
    PIP_INDEX_URL    = PIP_INDEX_URL
  }
  tags = concat(["${IMAGE}-test:${python}-trusting"], python == DEFAULT_PYTHON ? ["${IMAGE}-test:trusting"] : [])
}

target "image-check" {
  inherits = [target_of(DEFAULT_PYTHON, "full")]
  tags     = []
  call     = "check"
}

# The examples as their readers will build them, but on the image of this commit.
target "example" {
  name       = "example-${example}"
  inherits   = ["_secrets"]
  matrix     = { example = EXAMPLES }
  context    = "examples/${example}"
  contexts   = images(DEFAULT_PYTHON)
  tags       = ["${EXAMPLE_IMAGE}:${example}"]
}

target "example-stage" {
  name     = "example-${row.example}-${row.stage}"
  inherits = ["example-${row.example}"]
  matrix   = { row = EXAMPLE_STAGES }
  target   = row.stage
  # What Compose runs in development.
  tags   = row.stage == "dev" ? ["${EXAMPLE_IMAGE}:${row.example}-dev"] : []
  output = row.stage == "dev" ? [] : ["type=cacheonly"]
}

target "example-check" {
  name     = "example-${example}-check"
  inherits = ["example-${example}"]
  matrix   = { example = EXAMPLES }
  tags     = []
  call     = "check"
}

# Every way to install an application, as somebody's own Dockerfile does it: most of these are the README's recipes.
target "environment" {
  name = "environment-${row.name}"
  matrix = {
    row = concat([
      for name in ["apt", "app-venv", "exact", "index", "pip", "poetry", "slim", "uv", "uv-four-lines", "uv-pip"] :
      { name = name, dockerfile = name, context = "app" }
      ], [
      { name = "http2", dockerfile = "pins", context = "app" },
      { name = "flask-2023", dockerfile = "pip", context = "flask-2023" },
      { name = "template", dockerfile = "uv-four-lines", context = "template" },
      { name = "src", dockerfile = "src", context = "src-layout" },
      { name = "collectstatic", dockerfile = "collectstatic", context = "django" },
      { name = "workspace", dockerfile = "workspace", context = "workspace" },
      { name = "apt-slim", dockerfile = "apt-slim", context = "debian" },
    ])
  }
  inherits   = ["_secrets"]
  context    = "tests/image/environments/${row.context}"
  dockerfile = "../${row.dockerfile}.Dockerfile"
  contexts   = merge(images(PADDOCK_PYTHON), { application = "tests/image/environments/app" })
  args       = row.dockerfile == "pins" ? { PINS = row.name } : {}
  secret     = row.name == "index" ? ["type=file,id=UV_DEFAULT_INDEX,src=tests/image/environments/index-with-password"] : []
  tags       = ["paddock-test:${PADDOCK_PYTHON}-${row.name}"]
}

# What Paddock is measured against, and wrk: see ./dev bench.
target "bench-peers" {
  inherits = ["_secrets"]
  context  = "benchmarks/peers"
  contexts = {
    paddock = "target:${target_of(DEFAULT_PYTHON, "full")}"
    server  = "build"
    uv      = "target:${target_of(DEFAULT_PYTHON, "full")}"
  }
  args = {
    PYTHON_VERSION = DEFAULT_PYTHON
    BASE_IMAGE     = BASE_IMAGE == null ? null : replace(BASE_IMAGE, "{python}", DEFAULT_PYTHON)
  }
  tags = ["${IMAGE}-bench:peers"]
}

# Paddock with the frameworks that it is measured with.
target "bench-frameworks" {
  inherits = ["bench-peers"]
  target   = "frameworks"
  tags     = ["${IMAGE}-bench:frameworks"]
}
