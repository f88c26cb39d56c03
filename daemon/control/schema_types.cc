#include <iterator>

#include "control/schema.h"

namespace sluice::control {

namespace {

using T = Type;

constexpr std::string_view kText = R"({"type": "string", "minLength": 1})";
constexpr std::string_view kScalar = R"({"type": ["string", "number", "boolean"]})";
constexpr std::string_view kListenAddress = R"({"type": "string", "pattern": "^(unix:/.+|.*:[0-9]+)$"})";

// clang-format off
constexpr TypeRow kTypes[] = {
    {T::boolean, "boolean", "true or false", R"({"type": "boolean"})"},
    {T::integer, "number", "a whole number", R"({"type": "integer"})"},
    {T::workers, "number of workers", "auto or a whole number",
     R"({"anyOf": [{"const": "auto"}, {"type": "integer", "minimum": 1, "maximum": 1024}]})"},
    {T::duration, "duration", "250ms, 5s or 1m30s",
     R"({"anyOf": [{"type": "string", "pattern": "^([0-9]+(ms|s|m|h))+$"}, {"const": 0}]})"},
    {T::size, "size", "512B, 64KiB or 10MiB",
     R"({"anyOf": [{"type": "string", "pattern": "^[0-9]+(B|KiB|MiB|GiB)?$"}, {"type": "integer", "minimum": 0}]})"},
    {T::share, "share", "20% or 0.2",
     R"({"anyOf": [{"type": "string", "pattern": "^[0-9.]+%$"}, {"type": "number", "minimum": 0, "maximum": 1}]})"},
    {T::text, "text", "", kScalar},
    {T::choice, "choice", "", kText},
    {T::log_format, "log format", "json, combined, off, or a template with {placeholders}", kText},
    {T::name, "name", "up to 128 printable characters", R"({"type": "string", "minLength": 1, "maxLength": 128})"},
    {T::file, "file", "a path", kText},
    {T::file_name, "file name", "a name without slashes", R"({"type": "string", "pattern": "^[^/]+$"})"},
    {T::log_path, "place for a log", "stdout or an absolute path",
     R"({"type": "string", "pattern": "^(stdout|/.+)$"})"},
    {T::absolute_path, "absolute path", "a path that begins with /", R"({"type": "string", "pattern": "^/.+$"})"},
    {T::folder, "folder", "a path", kText},
    {T::glob, "file pattern", "routes.d/*.yaml, or a list of such",
     R"({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]})"},
    {T::listen_address, "address to listen on", "0.0.0.0:8080, [::]:8080 or unix:/run/sluice.sock", kListenAddress},
    {T::admin_address, "address to listen on", "127.0.0.1:9901, unix:/run/sluice/admin.sock or off",
     R"({"anyOf": [{"const": "off"}, {"type": "string", "pattern": "^(unix:/.+|.*:[0-9]+)$"}]})"},
    {T::address, "address", "127.0.0.1:9001, [::1]:9001, app.internal:9001 or unix:/run/app.sock",
     R"({"type": "string", "pattern": "^(unix:/.+|.+:[0-9]+)$"})"},
    {T::host_and_port, "host name with a port", "app.internal:9001",
     R"({"type": "string", "pattern": "^[A-Za-z0-9._-]+:[0-9]+$"})"},
    {T::dns_server, "DNS server", "10.0.0.2, 127.0.0.1:5353 or [2001:db8::1]:53", kText},
    {T::network, "network", "10.0.0.0/8, ::1/128 or one address", kText},
    {T::host, "host", "api.example.com or *.example.com, without a port",
     R"({"type": "string", "pattern": "^(\\*\\.)?[^*/]+$"})"},
    {T::pattern, "path pattern", "/users/{id:int}", R"({"type": "string", "pattern": "^/"})"},
    {T::prefix, "path prefix", "/api/v1", R"({"type": "string", "pattern": "^/.*[^/]$"})"},
    {T::method, "method", "GET, POST, ...", R"({"type": "string", "pattern": "^[A-Z]+$"})"},
    {T::retry_on, "retry condition", "connect, reset, timeout, a status from 400 to 599, grpc_unavailable or another of gRPC",
     R"({"anyOf": [{"enum": ["connect", "reset", "timeout"]}, {"type": "integer", "minimum": 400, "maximum": 599}]})"},
    {T::condition, "condition", "a value, or true for \"present with any value\"", kScalar},
    {T::header_name, "header name", "letters, digits and -", kText},
    {T::text_template, "template", "text with {placeholders}", kScalar},
    {T::upstream_name, "upstream", "the name of an entry of \"upstreams\"", kText},
    {T::plugin_name, "plugin", "the name of an entry of \"plugins\"", kText},
    {T::module_name, "module", "its name, as <name> in sluice_<name>.so",
     R"({"type": "string", "pattern": "^[a-z0-9_-]+$"})"},
    {T::plugin_config, "configuration of a plugin", "a map with the keys of the module's manual", R"({"type": "object"})"},
    {T::section, "section", "", "{}"},
};
// clang-format on

constexpr bool in_order() {
  for (size_t i = 0; i < std::size(kTypes); ++i) {
    if (static_cast<size_t>(kTypes[i].type) != i) return false;
  }
  return std::size(kTypes) == static_cast<size_t>(Type::kCount);
}
static_assert(in_order());

}  // namespace

const TypeRow& row_of(Type type) { return kTypes[static_cast<size_t>(type)]; }

}  // namespace sluice::control
