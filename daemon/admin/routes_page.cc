// /routes: what the gateway would do with which request, and how often it did.
#include <algorithm>
#include <array>
#include <numeric>

#include "admin/pages.h"
#include "base/strings.h"

namespace sluice::admin {

namespace {

constexpr size_t kClasses = 5;
using ClassCounts = std::array<uint64_t, kClasses>;

// Answers by status class so far; zeros if the route was never asked for.
ClassCounts requests_of(const snapshot::RouteSpec& route, const stats::Registry& registry) {
  ClassCounts counts{};
  const auto run = registry.find(stats::Family::requests, {route.name});
  if (!run) return counts;
  for (size_t i = 0; i < kClasses; ++i) counts[i] = registry.value(pick(*run, static_cast<stats::StatusClass>(i)));
  return counts;
}

uint64_t total(const ClassCounts& counts) { return std::accumulate(counts.begin(), counts.end(), uint64_t{0}); }

std::string_view name(snapshot::Action action) {
  switch (action) {
    case snapshot::Action::proxy: return "proxy";
    case snapshot::Action::respond: return "respond";
    case snapshot::Action::redirect: return "redirect";
    case snapshot::Action::static_files: return "static";
  }
  return "";
}

std::string methods_of(const snapshot::RouteSpec& route) {
  return route.match.methods == http::kAllMethods ? "*" : method_list(route.match.methods);
}

std::string hosts_of(const snapshot::RouteSpec& route) {
  if (route.match.hosts.empty()) return "*";
  std::string list;
  for (const std::string& host : route.match.hosts) list += (list.empty() ? "" : ", ") + host;
  return list;
}

std::string shares_of(const snapshot::Snapshot& snapshot, const snapshot::RouteSpec& route) {
  std::string list;
  for (const snapshot::SplitShare& share : route.split) {
    if (!list.empty()) list += ", ";
    list += snapshot.clusters[share.cluster].name;
    if (route.split.size() > 1) list += " " + std::to_string(share.weight) + "/" + std::to_string(route.split_total);
  }
  return list;
}

// "proxy users 95/100, users-v2 5/100", "respond 200", "static /srv/www"
std::string action_of(const snapshot::Snapshot& snapshot, const snapshot::RouteSpec& route) {
  const std::string text = std::string(name(route.action)) + " ";
  switch (route.action) {
    case snapshot::Action::proxy: return text + shares_of(snapshot, route);
    case snapshot::Action::respond: return text + std::to_string(route.respond->status);
    case snapshot::Action::redirect:
      return text + std::to_string(route.redirect->status) + " " + route.redirect->to.source();
    case snapshot::Action::static_files: return text + route.files->root;
  }
  return text;
}

// The columns of both tables; one row each.
struct Cells {
  std::string name, hosts, path, methods, action, requests;
};
struct Column {
  std::string_view title;
  std::string Cells::*cell;
  bool number = false;
};
constexpr Column kColumns[] = {
    {"NAME", &Cells::name},       {"HOSTS", &Cells::hosts},   {"PATH", &Cells::path},
    {"METHODS", &Cells::methods}, {"ACTION", &Cells::action}, {"REQUESTS", &Cells::requests, true},
};

std::vector<Cells> table(const snapshot::Snapshot& snapshot, const stats::Registry& registry) {
  std::vector<Cells> rows;
  for (const snapshot::RouteSpec& route : snapshot.routes) {
    rows.push_back({route.name, hosts_of(route), route.match.path, methods_of(route), action_of(snapshot, route),
                    std::to_string(total(requests_of(route, registry)))});
  }
  return rows;
}

void append_list(std::string& out, const std::vector<std::string>& values) {
  out += '[';
  for (const std::string& value : values) {
    if (&value != &values.front()) out += ',';
    out += json_quoted(value);
  }
  out += ']';
}

std::vector<std::string> method_names(http::MethodSet methods) {
  std::vector<std::string> names;
  for (unsigned i = 0; i < static_cast<unsigned>(http::Method::unknown); ++i) {
    const auto method = static_cast<http::Method>(i);
    if ((methods & http::method_bit(method)) != 0) names.emplace_back(http::name(method));
  }
  return names;
}

void append_shares_json(std::string& out, const snapshot::Snapshot& snapshot, const snapshot::RouteSpec& route) {
  out += ",\"upstreams\":[";
  for (const snapshot::SplitShare& share : route.split) {
    if (&share != &route.split.front()) out += ',';
    out += "{\"name\":" + json_quoted(snapshot.clusters[share.cluster].name);
    out += ",\"weight\":" + std::to_string(share.weight) + "}";
  }
  out += ']';
}

void append_requests_json(std::string& out, const ClassCounts& counts) {
  out += ",\"requests\":" + std::to_string(total(counts)) + ",\"by_class\":{";
  const auto& classes = stats::row(stats::Family::requests).last_values;
  for (size_t i = 0; i < kClasses; ++i) {
    if (i > 0) out += ',';
    out += json_quoted(classes[i]) + ":" + std::to_string(counts[i]);
  }
  out += '}';
}

}  // namespace

std::string routes_json(const snapshot::Snapshot& snapshot, const stats::Registry& registry) {
  std::string out = "{\"routes\":[";
  for (const snapshot::RouteSpec& route : snapshot.routes) {
    out += &route == &snapshot.routes.front() ? "\n" : ",\n";
    out += "{\"name\":" + json_quoted(route.name) + ",\"source\":" + json_quoted(route.source) + ",\"hosts\":";
    append_list(out, route.match.hosts);
    out += ",\"path\":" + json_quoted(route.match.path) + ",\"methods\":";
    append_list(out, method_names(route.match.methods));
    out += ",\"action\":" + json_quoted(name(route.action));
    append_shares_json(out, snapshot, route);
    append_requests_json(out, requests_of(route, registry));
    out += '}';
  }
  return out + "\n]}\n";
}

std::string routes_text(const snapshot::Snapshot& snapshot, const stats::Registry& registry) {
  std::vector<Cells> rows = table(snapshot, registry);
  Cells titles;
  for (const Column& column : kColumns) titles.*column.cell = column.title;
  rows.insert(rows.begin(), titles);

  std::array<size_t, std::size(kColumns)> widths{};
  for (const Cells& row : rows) {
    for (size_t i = 0; i < widths.size(); ++i) widths[i] = std::max(widths[i], (row.*kColumns[i].cell).size());
  }
  std::string out;
  for (const Cells& row : rows) {
    for (size_t i = 0; i < widths.size(); ++i) {
      const std::string& text = row.*kColumns[i].cell;
      const std::string padding(widths[i] - text.size(), ' ');
      if (i > 0) out += "  ";
      out += kColumns[i].number ? padding + text : text + padding;
    }
    out += '\n';
  }
  return out;
}

std::string routes_html(const snapshot::Snapshot& snapshot, const stats::Registry& registry) {
  std::string body = "<h1>Routes</h1>\n<table>\n<tr>";
  for (const Column& column : kColumns) {
    body.append(column.number ? "<th class=\"number\">" : "<th>").append(column.title);
  }
  for (const Cells& row : table(snapshot, registry)) {
    body += "\n<tr>";
    for (const Column& column : kColumns) {
      body.append(column.number ? "<td class=\"number\">" : "<td>").append(html_escaped(row.*column.cell));
    }
  }
  return html_page("Routes", body + "\n</table>\n");
}

}  // namespace sluice::admin
