// What a user would see: the diagnostics of a compilation as one text, for comparison with golden strings.
#pragma once

#include <catch2/catch.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "control/compile.h"

namespace sluice::control {

inline std::string text_of(const std::vector<Diagnostic>& diagnostics, Severity severity) {
  std::string text;
  for (const Diagnostic& diagnostic : diagnostics) text += to_text(diagnostic, severity, false);
  return text;
}

/// The messages alone, one a line, as "line:col message".
inline std::string messages_of(const std::vector<Diagnostic>& diagnostics) {
  std::string text;
  for (const Diagnostic& d : diagnostics) {
    text += std::to_string(d.line) + ":" + std::to_string(d.column) + " " + d.message + "\n";
  }
  return text;
}

/// A configuration that is complete but for what `more` adds at its end.
inline std::string with(std::string_view more) {
  return "version: 1\nlisteners: {public: {address: \"127.0.0.1:8080\"}}\nupstreams: {app: {endpoints: "
         "[\"127.0.0.1:9001\"]}}\n" +
         std::string(more);
}

/// One with that route, whose line is the fifth.
inline std::string with_route(std::string_view route) { return with("routes:\n  - " + std::string(route) + "\n"); }

struct Case {
  std::string yaml;      // the whole text
  std::string messages;  // "line:col message\n"..., none if it is right
};

inline void check_all(const std::vector<Case>& cases) {
  for (const Case& one : cases) {
    CAPTURE(one.yaml);
    const auto result = compile_text(one.yaml, "x.yaml");
    CHECK(messages_of(result.errors) == one.messages);
    CHECK((result.snapshot == nullptr) == !one.messages.empty());
  }
}

}  // namespace sluice::control
