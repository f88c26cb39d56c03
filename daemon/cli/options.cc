#include "cli/options.h"

#include <algorithm>

#include "base/format.h"
#include "base/strings.h"
#include "control/values.h"

namespace sluice::cli {

namespace {

constexpr unsigned kAsksAdmin = bit(Command::reload) | bit(Command::diff);
constexpr unsigned kWithConfig =
    bit(Command::run) | bit(Command::check) | bit(Command::explain) | bit(Command::routes) | kAsksAdmin;
constexpr unsigned kAll = bit(Command::kCount) - 1;
constexpr std::string_view kDefaultOrigin = "127.0.0.1:9001";

constexpr CommandRow kCommands[] = {
    {Command::run, "run", "", "Start the gateway", "sluice run --config /etc/sluice/sluice.yaml"},
    {Command::check, "check", "", "Report all errors of a configuration, and routes that can never match",
     "sluice check --config my.yaml"},
    {Command::explain, "explain", "METHOD URL", "Tell which route a request takes, and why the others lost",
     "sluice explain GET http://api.example.com/users/7 -H 'x-canary: 1'"},
    {Command::routes, "routes", "", "List the routes", "sluice routes --config my.yaml"},
    {Command::reload, "reload", "", "Have the running gateway read its configuration anew", "sluice reload"},
    {Command::diff, "diff", "", "Tell what a configuration would change in the running gateway",
     "sluice diff --config new.yaml"},
    {Command::origin, "origin", "", "Start a small HTTP server to try the gateway with",
     "sluice origin --listen 127.0.0.1:9001"},
    {Command::version, "version", "", "Print the version", "sluice version"},
};

constexpr ExitCodeRow kExitCodes[] = {
    {kOk, "all is well"},
    {kFailed, "it failed"},
    {kUsage, "the command line is wrong"},
    {kConfigurationError, "the configuration has errors"},
    {kNoRoute, "explain: no route takes the request"},
};

constexpr SignalRow kSignals[] = {
    {"SIGHUP", "Reads the configuration again. If it is wrong the old one stays."},
    {"SIGTERM, SIGINT, SIGQUIT",
     "Accepts no more, and ends when the running requests have ended or process.shutdown_grace is over. A second one "
     "ends at once."},
    {"SIGUSR2",
     "Starts the program's file anew, which may be a newer version, with the listening sockets. When the new process "
     "serves, this one ends as by SIGTERM; if it does not, this one goes on."},
    {"SIGUSR1", "Opens the access log again, after it was rotated."},
};

std::string set_config(Options& options, std::string_view argument) {
  options.config = argument;
  return argument.empty() ? "needs a file name" : "";
}

std::string add_header(Options& options, std::string_view argument) {
  const size_t colon = argument.find(':');
  if (colon == std::string_view::npos || colon == 0) return "needs a header as \"Name: value\"";
  options.headers.emplace_back(trim(argument.substr(0, colon)), trim(argument.substr(colon + 1)));
  return {};
}

std::string add_claim(Options& options, std::string_view argument) {
  const size_t equals = argument.find('=');
  if (equals == std::string_view::npos || equals == 0) return "needs a claim as name=value";
  options.claims.emplace_back(argument.substr(0, equals), argument.substr(equals + 1));
  return {};
}

std::string set_listen(Options& options, std::string_view argument) {
  const auto address = SocketAddress::parse(argument);
  if (!address) return "needs an address such as 127.0.0.1:9001";
  options.listen = *address;
  return {};
}

std::string set_admin(Options& options, std::string_view argument) {
  options.admin = SocketAddress::parse(argument);
  return options.admin ? "" : "needs an address such as 127.0.0.1:9901 or unix:/run/sluice/admin.sock";
}

std::string set_log_level(Options& options, std::string_view argument) {
  constexpr std::pair<std::string_view, log::Level> kLevels[] = {{"debug", log::Level::debug},
                                                                 {"info", log::Level::info},
                                                                 {"warn", log::Level::warn},
                                                                 {"error", log::Level::error}};
  for (const auto& [name, level] : kLevels) {
    if (name != argument) continue;
    options.log_level = level;
    return {};
  }
  return "must be debug, info, warn or error";
}

std::string set_help(Options& options, std::string_view) {
  options.help = true;
  return {};
}

constexpr OptionRow kOptions[] = {
    {"--config", "-c", "FILE", kWithConfig, "Default: /etc/sluice/sluice.yaml, else config/sluice.yaml", set_config},
    {"--header", "-H", "'NAME: VALUE'", bit(Command::explain), "A header of the request; may be repeated", add_header},
    {"--claim", "", "NAME=VALUE", bit(Command::explain), "A claim of the client's token; may be repeated", add_claim},
    {"--listen", "-l", "ADDRESS", bit(Command::origin), "Where to listen; default: 127.0.0.1:9001", set_listen},
    {"--admin", "-a", "ADDRESS", kAsksAdmin | bit(Command::explain),
     "The gateway's admin listener; default: as configured (explain: none)", set_admin},
    {"--log-level", "", "LEVEL", bit(Command::run), "debug, info (default), warn or error", set_log_level},
    {"--help", "-h", "", kAll, "This text", set_help},
};

// Walks over the arguments; `error` ends it.
class Parser {
 public:
  explicit Parser(std::span<const std::string_view> arguments) : rest_(arguments) {
    options_.listen = *SocketAddress::parse(kDefaultOrigin);
  }

  ParsedCommandLine parse();

 private:
  void parse_command();
  void parse_option(std::string_view argument);
  void parse_operand(std::string_view argument);
  void check_operands();
  [[nodiscard]] const CommandRow& command() const { return kCommands[static_cast<size_t>(options_.command)]; }

  std::span<const std::string_view> rest_;
  Options options_;
  std::string error_;
  bool only_operands_ = false;
};

ParsedCommandLine Parser::parse() {
  parse_command();
  while (error_.empty() && !rest_.empty()) {
    const std::string_view argument = rest_.front();
    rest_ = rest_.subspan(1);
    if (only_operands_ || argument.size() < 2 || argument.front() != '-') {
      parse_operand(argument);
    } else if (argument == "--") {
      only_operands_ = true;
    } else {
      parse_option(argument);
    }
  }
  if (error_.empty() && !options_.help) check_operands();
  return {std::move(options_), std::move(error_)};
}

void Parser::parse_command() {
  if (rest_.empty()) {
    error_ = "a command is missing";
    return;
  }
  const std::string_view name = rest_.front();
  rest_ = rest_.subspan(1);
  if (name == "--help" || name == "-h" || name == "help") {
    options_.help = true;
    rest_ = {};
    return;
  }
  control::Suggestion suggestion(name);
  for (const CommandRow& row : kCommands) {
    suggestion.consider(row.name);
    if (row.name != name && !(row.command == Command::version && name == "--version")) continue;
    options_.command = row.command;
    return;
  }
  error_ = fmt::format("there is no command \"{}\"{}", name, suggestion.text());
}

void Parser::parse_option(std::string_view argument) {
  const bool is_long = argument.starts_with("--");
  const size_t equals = is_long ? argument.find('=') : std::string_view::npos;
  const std::string_view name = argument.substr(0, equals);
  control::Suggestion suggestion(name);
  for (const OptionRow& row : kOptions) {
    if ((row.commands & bit(options_.command)) == 0) continue;
    suggestion.consider(row.name);
    if (name != row.name && name != row.shorter) continue;
    std::string_view value;
    if (equals != std::string_view::npos) {
      value = argument.substr(equals + 1);
      if (row.argument.empty()) error_ = fmt::format("{} takes no argument", name);
    } else if (!row.argument.empty()) {
      if (rest_.empty()) {
        error_ = fmt::format("{} needs {}", name, row.argument);
        return;
      }
      value = rest_.front();
      rest_ = rest_.subspan(1);
    }
    if (const std::string wrong = row.set(options_, value); !wrong.empty()) error_ = fmt::format("{} {}", name, wrong);
    return;
  }
  error_ = fmt::format("\"sluice {}\" has no option {}{}", command().name, name, suggestion.text());
}

void Parser::parse_operand(std::string_view argument) { options_.operands.emplace_back(argument); }

void Parser::check_operands() {
  const std::string_view wanted = command().operands;
  const size_t count = wanted.empty() ? 0 : 1 + static_cast<size_t>(std::count(wanted.begin(), wanted.end(), ' '));
  if (options_.operands.size() == count) return;
  if (options_.operands.size() < count) {
    error_ = fmt::format("\"sluice {}\" needs {}", command().name, wanted);
    return;
  }
  const std::string& extra = options_.operands[count];
  error_ = fmt::format("\"{}\" is too much for \"sluice {}\"", extra, command().name);
  const bool may_be_config = extra.ends_with(".yaml") || extra.ends_with(".yml");
  if (may_be_config && (kWithConfig & bit(options_.command)) != 0) {
    error_ += fmt::format("; a configuration is named by --config {}", extra);
  }
}

}  // namespace

std::span<const CommandRow> command_rows() { return kCommands; }

std::span<const ExitCodeRow> exit_code_rows() { return kExitCodes; }

std::span<const SignalRow> signal_rows() { return kSignals; }

std::span<const OptionRow> option_rows() { return kOptions; }

ParsedCommandLine parse_command_line(std::span<const std::string_view> arguments) { return Parser(arguments).parse(); }

}  // namespace sluice::cli
