// Template: text with {placeholders}, compiled once and expanded per request without allocation of its own. Used by
// rewrite, headers, redirect. Placeholders: the route's path parameters by name, and the built-in ones listed in
// variables(); a parameter hides a built-in one of its name. "{{" and "}}" are literal braces.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::snapshot {

/// What a template may name beside the path parameters.
enum class Variable : uint8_t {
  host,
  path,
  query,
  method,
  scheme,
  client_ip,
  request_id,
  route,
  tls_version,
  tls_cipher,
  tls_server_name,
  tls_client_subject,
  tls_client_names,
  tls_client_fingerprint
};
struct VariableRow {
  std::string_view name;
  Variable variable;
  std::string_view help;
};
std::span<const VariableRow> variables();

class Template {
 public:
  Template() = default;

  /// `captures` are the names that the route's pattern binds. On failure returns nothing and sets `error` to a sentence
  /// and `error_at` to the offset of the offending placeholder.
  static std::optional<Template> compile(std::string_view source, std::span<const std::string> captures,
                                         std::string& error, size_t& error_at);

  /// Where the values come from when a template is expanded.
  struct Values {
    std::span<const std::string_view> captures;  // by index
    std::string_view (*variable)(const void* owner, Variable) = nullptr;
    const void* owner = nullptr;
  };
  /// Writes the expansion to `out`; nothing if it does not fit. The caller checks the result (is_field_value, path).
  [[nodiscard]] std::optional<size_t> expand(const Values& values, std::span<char> out) const;

  [[nodiscard]] bool empty() const { return parts_.empty(); }
  [[nodiscard]] const std::string& source() const { return source_; }

 private:
  struct Part {
    enum class Kind : uint8_t { literal, capture, variable } kind;
    uint32_t begin = 0;  // literal: offset into literals_; capture: index; variable: Variable
    uint32_t length = 0;
  };
  void append_literal(std::string_view text);
  /// False if there is no such placeholder.
  bool append_placeholder(std::string_view name, std::span<const std::string> captures);

  std::vector<Part> parts_;  // what a request reads comes first
  std::string literals_;
  std::string source_;
};

}  // namespace sluice::snapshot
