#include "cli/man_page.h"

#include "base/format.h"
#include "cli/options.h"

namespace sluice::cli {

namespace {

constexpr std::string_view kHead =
    R"(.\" Generated from daemon/cli/options.cc by `cmake --build --preset debug --target docs`.
.TH SLUICE 8 "" "Sluice {}" "System administration"
.SH NAME
sluice \- reverse proxy and API gateway
.SH SYNOPSIS
.B sluice
.I COMMAND
.RI [ OPTION ]...
.SH DESCRIPTION
Sluice routes HTTP requests by host, path, method, header fields and query to pools of upstream servers, as one YAML file tells.
As a systemd service it reads
.IR /etc/sluice/sluice.yaml .
.SH COMMANDS
)";

struct FileRow {
  std::string_view path;
  std::string_view help;
};
constexpr FileRow kFiles[] = {
    {"/etc/sluice/sluice.yaml", "The configuration. Its keys: /usr/share/doc/sluice/configuration.md."},
    {"/var/log/sluice/access.log", "A line for each request, if the configuration says so."},
};

struct VariableRow {
  std::string_view name;
  std::string_view help;
};
constexpr VariableRow kEnvironment[] = {
    {"NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID",
     "Set by systemd: where the gateway tells what it is doing; sd_notify(3)."},
};

void append_entry(std::string& out, std::string_view tag, std::string_view text) {
  out += fmt::format(".TP\n{}\n{}\n", tag, roff(text));
}

std::string option_tag(const OptionRow& row) {
  std::string names = row.shorter.empty() ? "" : fmt::format("\\fB{}\\fR, ", roff(row.shorter));
  names += fmt::format("\\fB{}\\fR", roff(row.name));
  if (!row.argument.empty()) names += fmt::format(" \\fI{}\\fR", roff(row.argument));
  return names;
}

void append_command(std::string& out, const CommandRow& row) {
  out += fmt::format(".SS \"sluice {}{}{}\"\n{}.\n", row.name, row.operands.empty() ? "" : " ", row.operands,
                     roff(row.help));
  out += fmt::format(".PP\n.EX\n    {}\n.EE\n", roff(row.example));
  for (const OptionRow& option : option_rows()) {
    if ((option.commands & bit(row.command)) != 0) append_entry(out, option_tag(option), option.help);
  }
}

}  // namespace

std::string roff(std::string_view text) {
  std::string out;
  if (text.starts_with('.')) out += "\\&";
  for (const char c : text) {
    switch (c) {
      case '-': out += "\\-"; break;
      case '\\': out += "\\e"; break;
      case '\'': out += "\\(aq"; break;
      default: out += c;
    }
  }
  return out;
}

std::string man_page() {
  std::string out = fmt::format(fmt::runtime(kHead), SLUICE_VERSION);
  for (const CommandRow& row : command_rows()) append_command(out, row);
  out += ".SH SIGNALS\n";
  for (const SignalRow& row : signal_rows()) append_entry(out, fmt::format("\\fB{}\\fR", row.name), row.help);
  out += ".SH \"EXIT STATUS\"\n";
  for (const ExitCodeRow& row : exit_code_rows()) {
    append_entry(out, fmt::format("\\fB{}\\fR", static_cast<int>(row.code)), row.help);
  }
  out += ".SH ENVIRONMENT\n";
  for (const VariableRow& row : kEnvironment) append_entry(out, fmt::format("\\fB{}\\fR", row.name), row.help);
  out += ".SH FILES\n";
  for (const FileRow& row : kFiles) append_entry(out, fmt::format("\\fI{}\\fR", row.path), row.help);
  out += ".SH \"SEE ALSO\"\n.BR systemctl (1),\n.BR journalctl (1),\n.BR logrotate (8)\n";
  return out;
}

}  // namespace sluice::cli
