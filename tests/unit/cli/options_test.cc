#include "cli/options.h"

#include <catch2/catch.hpp>

#include <algorithm>

#include "cli/help.h"

using namespace sluice;
using namespace sluice::cli;

namespace {
ParsedCommandLine parse(std::vector<std::string_view> arguments) { return parse_command_line(arguments); }
}  // namespace

TEST_CASE("options may stand before, between and after operands, in each of their forms") {
  const auto parsed =
      parse({"explain", "-H", "x-a: 1", "GET", "--config=a.yaml", "http://h/", "--header", " X-B :  2 "});
  REQUIRE(parsed.error.empty());
  CHECK(parsed.options.command == Command::explain);
  CHECK(parsed.options.operands == std::vector<std::string>{"GET", "http://h/"});
  CHECK(parsed.options.config == "a.yaml");
  REQUIRE(parsed.options.headers.size() == 2);
  CHECK(parsed.options.headers[0] == std::pair<std::string, std::string>("x-a", "1"));
  CHECK(parsed.options.headers[1] == std::pair<std::string, std::string>("X-B", "2"));
}

TEST_CASE("what is not said has its default") {
  const auto parsed = parse({"origin"});
  REQUIRE(parsed.error.empty());
  CHECK(parsed.options.listen.to_string() == "127.0.0.1:9001");
  CHECK(parsed.options.config.empty());
  CHECK(parsed.options.log_level == log::Level::info);
}

TEST_CASE("values are read") {
  CHECK(parse({"origin", "-l", "[::1]:80"}).options.listen.to_string() == "[::1]:80");
  CHECK(parse({"run", "--log-level", "warn"}).options.log_level == log::Level::warn);
  CHECK(parse({"run", "-c", "x"}).options.config == "x");
  CHECK(parse({"explain", "--", "GET", "-odd"}).options.operands == std::vector<std::string>{"GET", "-odd"});
  CHECK(parse({"--version"}).options.command == Command::version);
}

TEST_CASE("help can be asked for everywhere") {
  for (const auto& arguments : std::vector<std::vector<std::string_view>>{{"--help"}, {"-h"}, {"help"}}) {
    CHECK(parse(arguments).options.help);
    CHECK(parse(arguments).options.command == Command::kCount);
  }
  CHECK(parse({"explain", "--help"}).options.help);  // though its operands are missing
  CHECK(parse({"explain", "--help"}).error.empty());
}

TEST_CASE("a wrong command line is told what is wrong with it") {
  struct Case {
    std::vector<std::string_view> arguments;
    const char* error;
  };
  const std::vector<Case> cases = {
      {{}, "a command is missing"},
      {{"chek"}, "there is no command \"chek\"; did you mean \"check\"?"},
      {{"frobnicate"}, "there is no command \"frobnicate\""},
      {{"run", "--confg", "x"}, "\"sluice run\" has no option --confg; did you mean \"--config\"?"},
      {{"origin", "--config", "x"}, "\"sluice origin\" has no option --config"},
      {{"run", "--config"}, "--config needs FILE"},
      {{"run", "--config="}, "--config needs a file name"},
      {{"run", "x.yaml"}, "\"x.yaml\" is too much for \"sluice run\"; a configuration is named by --config x.yaml"},
      {{"version", "x.yaml"}, "\"x.yaml\" is too much for \"sluice version\""},
      {{"explain", "GET"}, "\"sluice explain\" needs METHOD URL"},
      {{"explain", "GET", "/", "/"}, "\"/\" is too much for \"sluice explain\""},
      {{"explain", "GET", "/", "-H", "nonsense"}, "-H needs a header as \"Name: value\""},
      {{"origin", "--listen", "nowhere"}, "--listen needs an address such as 127.0.0.1:9001"},
      {{"run", "--log-level", "loud"}, "--log-level must be debug, info, warn or error"},
      {{"run", "--help=yes"}, "--help takes no argument"},
  };
  for (const Case& one : cases) CHECK(parse(one.arguments).error == one.error);
}

TEST_CASE("the help fits a screen and has an example for every command") {
  const std::string help = general_help();
  CHECK(std::count(help.begin(), help.end(), '\n') <= 30);
  size_t longest = 0;
  for (size_t begin = 0; begin < help.size(); begin = help.find('\n', begin) + 1) {
    longest = std::max(longest, help.find('\n', begin) - begin);
  }
  CHECK(longest <= 100);
  for (const CommandRow& row : command_rows()) {
    CAPTURE(row.name);
    CHECK(help.find(std::string(row.example)) != std::string::npos);
    CHECK(row.example.starts_with("sluice " + std::string(row.name)));
    CHECK(command_help(row.command).find(std::string(row.help)) != std::string::npos);
  }
}

TEST_CASE("every command's row stands at its own index") {
  for (size_t i = 0; i < command_rows().size(); ++i) CHECK(static_cast<size_t>(command_rows()[i].command) == i);
}
