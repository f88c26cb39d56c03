#include "snapshot/template.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace sluice::snapshot {
namespace {

constexpr std::array<VariableRow, 14> kVariables{{
    {"host", Variable::host, "the request's host without its port"},
    {"path", Variable::path, "the normalised path of the request"},
    {"query", Variable::query, "the query without its '?'; empty if there is none"},
    {"method", Variable::method, "the request's method"},
    {"scheme", Variable::scheme, "http or https, as the client spoke it"},
    {"client_ip", Variable::client_ip, "the client's address, past trusted proxies"},
    {"request_id", Variable::request_id, "the request's id, as logged and sent on"},
    {"route", Variable::route, "the name of the route"},
    {"tls_version", Variable::tls_version, "`TLSv1.3`; empty without TLS, like all of these"},
    {"tls_cipher", Variable::tls_cipher, "`TLS_AES_128_GCM_SHA256`"},
    {"tls_server_name", Variable::tls_server_name, "the name that the client asked for (SNI)"},
    {"tls_client_subject", Variable::tls_client_subject, "subject of the client's certificate, `CN=app,O=Example`"},
    {"tls_client_names", Variable::tls_client_names, "names in the client's certificate, `DNS:app.example.com`"},
    {"tls_client_fingerprint", Variable::tls_client_fingerprint, "SHA-256 of the client's certificate, in hexadecimal"},
}};

std::string unknown_placeholder(std::string_view name, std::span<const std::string> captures) {
  std::string text = "{" + std::string(name) + "} is neither a parameter of the route's path (";
  for (size_t i = 0; i < captures.size(); ++i) text += (i == 0 ? "" : ", ") + captures[i];
  if (captures.empty()) text += "it has none";
  text += ") nor one of ";
  for (size_t i = 0; i < kVariables.size(); ++i) text += (i == 0 ? "" : ", ") + std::string(kVariables[i].name);
  return text;
}

}  // namespace

std::span<const VariableRow> variables() { return kVariables; }

void Template::append_literal(std::string_view text) {
  if (text.empty()) return;
  if (parts_.empty() || parts_.back().kind != Part::Kind::literal) {
    parts_.push_back({Part::Kind::literal, static_cast<uint32_t>(literals_.size()), 0});
  }
  parts_.back().length += static_cast<uint32_t>(text.size());
  literals_.append(text);
}

bool Template::append_placeholder(std::string_view name, std::span<const std::string> captures) {
  const auto capture = std::find(captures.begin(), captures.end(), name);
  if (capture != captures.end()) {
    parts_.push_back({Part::Kind::capture, static_cast<uint32_t>(capture - captures.begin()), 0});
    return true;
  }
  const auto row = std::find_if(kVariables.begin(), kVariables.end(), [&](const auto& r) { return r.name == name; });
  if (row == kVariables.end()) return false;
  parts_.push_back({Part::Kind::variable, static_cast<uint32_t>(row->variable), 0});
  return true;
}

std::optional<Template> Template::compile(std::string_view source, std::span<const std::string> captures,
                                          std::string& error, size_t& error_at) {
  Template result;
  result.source_ = source;
  for (size_t at = 0; at < source.size();) {
    const size_t brace = std::min(source.find_first_of("{}", at), source.size());
    result.append_literal(source.substr(at, brace - at));
    at = brace;
    if (at == source.size()) break;
    if (at + 1 < source.size() && source[at + 1] == source[at]) {
      result.append_literal(source.substr(at, 1));
      at += 2;
      continue;
    }
    const size_t close = source[at] == '{' ? source.find('}', at) : std::string_view::npos;
    error_at = at;
    if (close == std::string_view::npos) {
      error = source[at] == '{' ? "this '{' is never closed; a literal one is written {{"
                                : "this '}' closes nothing; a literal one is written }}";
      return std::nullopt;
    }
    const std::string_view name = source.substr(at + 1, close - at - 1);
    if (!result.append_placeholder(name, captures)) {
      error = unknown_placeholder(name, captures);
      return std::nullopt;
    }
    at = close + 1;
  }
  return result;
}

std::optional<size_t> Template::expand(const Values& values, std::span<char> out) const {
  size_t used = 0;
  for (const Part& part : parts_) {
    std::string_view text;
    if (part.kind == Part::Kind::literal) {
      text = std::string_view(literals_).substr(part.begin, part.length);
    } else if (part.kind == Part::Kind::capture) {
      if (part.begin < values.captures.size()) text = values.captures[part.begin];
    } else if (values.variable != nullptr) {
      text = values.variable(values.owner, static_cast<Variable>(part.begin));
    }
    if (text.size() > out.size() - used) return std::nullopt;
    if (!text.empty()) std::memcpy(out.data() + used, text.data(), text.size());
    used += text.size();
  }
  return used;
}

}  // namespace sluice::snapshot
