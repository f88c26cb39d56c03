#include "control/load.h"

#include <sys/stat.h>

#include <catch2/catch.hpp>

#include "control/compile.h"
#include "temporary_folder.h"
#include "text_of.h"

using namespace sluice::control;

namespace {
constexpr std::string_view kListeners = "version: 1\nlisteners: {public: {address: \"127.0.0.1:8080\"}}\n";

std::string route(std::string_view name, std::string_view path) {
  return "  - {name: " + std::string(name) + ", match: {path: " + std::string(path) + "}, respond: {}}\n";
}

std::string names_of(const CompileResult& result) {
  if (result.snapshot == nullptr) return text_of(result.errors, Severity::error);
  std::string names;
  for (const auto& r : result.snapshot->routes) names += r.name + " ";
  return names;
}
}  // namespace

TEST_CASE("a pattern's files are read in alphabetical order after the file's own entries") {
  const TemporaryFolder folder;
  folder.write("routes.d/b.yaml", "routes:\n" + route("b", "/b"));
  folder.write("routes.d/a.yaml", "version: 1\nroutes:\n" + route("a", "/a"));
  folder.write("routes.d/ignored.txt", "{{{");
  const auto main =
      folder.write("main.yaml", std::string(kListeners) + "include: routes.d/*.yaml\nroutes:\n" + route("own", "/"));
  CHECK(names_of(compile_file(main)) == "own a b ");
}

TEST_CASE("include takes a list, and files may include files relative to themselves") {
  const TemporaryFolder folder;
  folder.write("x/one.yaml", "include: [two.yaml]\nroutes:\n" + route("one", "/1"));
  folder.write("x/two.yaml", "upstreams: {u: {endpoints: [\"127.0.0.1:1\"]}}\nroutes:\n" + route("two", "/2"));
  folder.write("three.yaml", "routes:\n" + route("three", "/3") + "trusted_proxies: [10.0.0.0/8]\n");
  const auto main = folder.write(
      "main.yaml", std::string(kListeners) + "include: [x/one.yaml, three.yaml]\ntrusted_proxies: [\"::1\"]\n");
  const auto result = compile_file(main);
  CHECK(names_of(result) == "one two three ");
  CHECK(result.snapshot->clusters.size() == 1);
  CHECK(result.snapshot->trusted_proxies.size() == 2);
}

TEST_CASE("an included file that is empty adds nothing") {
  const TemporaryFolder folder;
  folder.write("routes.d/empty.yaml", "# nothing yet\n");
  const auto main =
      folder.write("main.yaml", std::string(kListeners) + "include: routes.d/*.yaml\nroutes:\n" + route("own", "/"));
  CHECK(names_of(compile_file(main)) == "own ");
}

TEST_CASE("a name that two files give is an error that names both places") {
  const TemporaryFolder folder;
  const auto a = folder.write("a.yaml", "upstreams:\n  app: {endpoints: [\"127.0.0.1:1\"]}\nprocess: {workers: 1}\n");
  const auto main = folder.write("main.yaml", std::string(kListeners) +
                                                  "include: a.yaml\nprocess: {workers: 2}\nupstreams:\n"
                                                  "  app: {endpoints: [\"127.0.0.1:2\"]}\n");
  CHECK(text_of(compile_file(main).errors, Severity::error) ==
        a + ":2:3: error: \"app\" in \"upstreams\" is already given at " + main + ":6\n" +
            "      app: {endpoints: [\"127.0.0.1:1\"]}\n      ^\n" +  //
            a + ":3:11: error: \"workers\" in \"process\" is already given at " + main + ":4\n" +
            "    process: {workers: 1}\n              ^\n");
}

TEST_CASE("a list and a map of the same key cannot be joined") {
  const TemporaryFolder folder;
  folder.write("a.yaml", "routes: {x: 1}\n");
  const auto main =
      folder.write("main.yaml", std::string(kListeners) + "include: a.yaml\nroutes:\n" + route("own", "/"));
  CHECK(messages_of(compile_file(main).errors) == "1:1 \"routes\" is already given at " + main + ":4\n");
}

TEST_CASE("errors in an included file are reported at its own place") {
  const TemporaryFolder folder;
  const auto a = folder.write("a.yaml", "routes:\n  - {match: {path: /}, upstream: nobody}\n");
  const auto main = folder.write("main.yaml", std::string(kListeners) + "include: a.yaml\n");
  CHECK(text_of(compile_file(main).errors, Severity::error) ==
        a + ":2:34: error: there is no upstream \"nobody\"\n      - {match: {path: /}, upstream: nobody}\n" +
            "                                     ^\n");
}

TEST_CASE("includes that cannot be read are errors at the place that names them") {
  const TemporaryFolder folder;
  folder.write("dir.yaml/x", "");
  folder.write("syntax.yaml", "a: [\n");
  folder.write("list.yaml", "- 1\n");
  folder.write("me-too.yaml", "include: main.yaml\n");
  ::mkfifo((folder / "fifo.yaml").c_str(), 0600);
  struct Case {
    const char* include;
    std::string message;
  };
  const std::string root = folder / "";
  const Case cases[] = {
      {"missing.yaml", "3:10 cannot include " + root + "missing.yaml: No such file or directory\n"},
      {"dir.yaml", "3:10 cannot include " + root + "dir.yaml: it is a directory\n"},
      {"fifo.yaml", "3:10 cannot include " + root + "fifo.yaml: it is not a regular file\n"},
      {"main.yaml", "3:10 cannot include " + root + "main.yaml: it includes itself\n"},
      {"me-too.yaml", "1:10 cannot include " + root + "main.yaml: it includes itself\n"},
      {"[main.yaml, 7]", "3:11 cannot include " + root + "main.yaml: it includes itself\n3:22 cannot include " + root +
                             "7: No such file or directory\n"},
      {"syntax.yaml", "2:1 not valid YAML: the bracket that opens in line 1 is never closed\n"},
      {"list.yaml", "1:1 an included file holds top-level keys, such as \"routes:\"\n"},
  };
  for (const Case& one : cases) {
    CAPTURE(one.include);
    const auto main = folder.write("main.yaml", std::string(kListeners) + "include: " + one.include + "\n");
    CHECK(messages_of(compile_file(main).errors) == one.message);
  }
}

TEST_CASE("a file is included once") {
  const TemporaryFolder folder;
  const auto a = folder.write("a.yaml", "routes:\n" + route("a", "/a"));
  const auto main = folder.write("main.yaml", std::string(kListeners) + "include: [a.yaml, ./a.yaml]\n");
  CHECK(messages_of(compile_file(main).errors) ==
        "3:19 cannot include " + (folder / "./a.yaml") + ": it was included before\n");
}

TEST_CASE("includes are nested eight deep at most") {
  const TemporaryFolder folder;
  for (int i = 0; i < 12; ++i) {
    folder.write("f" + std::to_string(i) + ".yaml", "include: f" + std::to_string(i + 1) + ".yaml\n");
  }
  CHECK(messages_of(compile_file(folder / "f0.yaml").errors) ==
        "1:10 cannot include " + (folder / "f9.yaml") + ": includes are nested more than 8 deep\n");
}

TEST_CASE("a pattern that matches no file is a warning") {
  const TemporaryFolder folder;
  const auto main =
      folder.write("main.yaml", std::string(kListeners) + "include: none.d/*.yaml\nroutes:\n" + route("own", "/"));
  const auto result = compile_file(main);
  CHECK(result.errors.empty());
  CHECK(messages_of(result.warnings) == "3:10 no file matches " + (folder / "none.d/*.yaml") + "\n");
}

TEST_CASE("a configuration that cannot be read is one error about the file") {
  const TemporaryFolder folder;
  CHECK(text_of(compile_file(folder / "nothing.yaml").errors, Severity::error) ==
        (folder / "nothing.yaml") + ": error: cannot read the configuration: No such file or directory\n");
}

TEST_CASE("a text that stands in no file includes none") {
  const auto result = compile_text(std::string(kListeners) + "include: /etc/*.yaml\n", "x.yaml");
  CHECK(messages_of(result.errors) == "3:1 \"include\" is possible only in a file\n");
}

TEST_CASE("a list that is an anchor is not changed by what is joined to its alias") {
  const TemporaryFolder folder;
  folder.write("a.yaml", "trusted_proxies: [10.0.0.0/8]\n");
  const auto main = folder.write("main.yaml", std::string(kListeners) +
                                                  "trusted_proxies: &n [127.0.0.0/8]\ninclude: a.yaml\n"
                                                  "routes: [{match: {path: /, hosts: [a.example]}, respond: {}}]\n");
  const auto result = compile_file(main);
  REQUIRE(result.snapshot != nullptr);
  CHECK(result.snapshot->trusted_proxies.size() == 2);
}

TEST_CASE("the files that were read or tried are told, patterns, token and static folders included, with errors too") {
  const TemporaryFolder folder;
  folder.write("routes.d/a.yaml", "routes: [{match: {path: /a}, static: {root: www}}]\n");
  const auto main = folder.write(
      "main.yaml", std::string(kListeners) + "admin: {token_file: token}\ninclude: [routes.d/*.yaml, one.yaml]\n");
  const auto result = compile_file(main);
  CHECK(result.snapshot == nullptr);
  std::vector<std::string> files;
  for (const auto& [path, stamp] : result.sources.files()) files.push_back(path);
  CHECK(files == std::vector<std::string>{main, folder / "one.yaml", folder / "routes.d/a.yaml"});
  CHECK(result.sources.files().at(folder / "one.yaml") == sluice::SourceFiles::Stamp{});
  CHECK(result.sources.patterns().count(folder / "routes.d/*.yaml") == 1);

  folder.write("one.yaml", "");
  files.clear();
  const auto second = compile_file(main);
  CHECK(second.snapshot == nullptr);
  for (const auto& [path, stamp] : second.sources.files()) files.push_back(path);
  CHECK(files == std::vector<std::string>{main, folder / "one.yaml", folder / "routes.d/a.yaml",
                                          folder / "routes.d/www", folder / "token"});
}
