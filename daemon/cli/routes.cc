#include "cli/routes.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <vector>

#include "cli/configuration.h"

namespace sluice::cli {

namespace {

constexpr size_t kColumns = 5;
using Line = std::array<std::string, kColumns>;

std::string hosts_text(const std::vector<std::string>& hosts) {
  std::string text;
  for (const std::string& host : hosts) text += fmt::format("{}{}", text.empty() ? "" : ", ", host);
  return text.empty() ? "any" : text;
}

// Pattern and what else must hold: "/a/{id}  x-canary: 1  ?v=2".
std::string pattern_text(const snapshot::MatchSpec& match) {
  std::string text = match.path;
  for (const auto& header : match.headers) text += fmt::format("  {}: {}", header.name, header.any ? "*" : header.value);
  for (const auto& parameter : match.query) {
    text += fmt::format("  ?{}={}", parameter.name, parameter.any ? "*" : parameter.value);
  }
  return text;
}

}  // namespace

std::string methods_text(http::MethodSet methods) {
  if (methods == http::kAllMethods) return "any";
  std::string text;
  for (unsigned i = 0; i < static_cast<unsigned>(http::Method::unknown); ++i) {
    const auto method = static_cast<http::Method>(i);
    if ((methods & http::method_bit(method)) == 0) continue;
    text += fmt::format("{}{}", text.empty() ? "" : ", ", http::name(method));
  }
  return text;
}

std::string destination_of(const snapshot::RouteSpec& route, const snapshot::Snapshot& snapshot) {
  switch (route.action) {
    case snapshot::Action::respond: return fmt::format("answer {}", route.respond.status);
    case snapshot::Action::redirect:
      return fmt::format("redirect {} to {}", route.redirect.status, route.redirect.to.source());
    case snapshot::Action::static_files: return fmt::format("files in {}", route.files.root);
    case snapshot::Action::proxy: break;
  }
  if (route.split.size() == 1) return fmt::format("upstream {}", snapshot.clusters[route.split[0].cluster].name);
  std::string text = "split";
  for (const snapshot::SplitShare& share : route.split) {
    text += fmt::format("{} {} {}", text == "split" ? "" : ",", snapshot.clusters[share.cluster].name, share.weight);
  }
  return text;
}

std::string routes_text(const snapshot::Snapshot& snapshot) {
  std::vector<Line> lines = {{"ROUTE", "METHODS", "HOSTS", "PATH", "LEADS TO"}};
  for (const snapshot::RouteSpec& route : snapshot.routes) {
    lines.push_back({route.name, methods_text(route.match.methods), hosts_text(route.match.hosts), pattern_text(route.match),
                     destination_of(route, snapshot)});
  }
  std::array<size_t, kColumns> width{};
  for (const Line& line : lines) {
    for (size_t i = 0; i < kColumns; ++i) width[i] = std::max(width[i], line[i].size());
  }
  std::string text;
  for (const Line& line : lines) {
    for (size_t i = 0; i + 1 < kColumns; ++i) text += fmt::format("{:<{}}  ", line[i], width[i]);
    text += line.back() + '\n';
  }
  return text;
}

int routes(const Options& options) {
  const auto snapshot = load_configuration(options);
  if (snapshot == nullptr) return kConfigurationError;
  fmt::print("{}", routes_text(*snapshot));
  return kOk;
}

}  // namespace sluice::cli
