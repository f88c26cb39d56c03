#include "control/yaml_reader.h"

#include <catch2/catch.hpp>

#include "text_of.h"

using namespace sluice::control;

namespace {

struct Read {
  Tree tree;
  Diagnostics diagnostics;
  Node* root = nullptr;

  explicit Read(std::string text, const YamlLimits& limits = {}) {
    root = read_yaml(diagnostics.add_file("x.yaml", std::move(text)), tree, diagnostics, limits);
  }
  std::string messages() const { return messages_of(diagnostics.errors()); }
};

}  // namespace

TEST_CASE("every node knows its kind and its place") {
  const Read read("a: 1\nb:\n  - x\n  - 'y'\nc: {d: ~}\n");
  REQUIRE(read.root != nullptr);
  CHECK(read.root->kind == Node::Kind::map);
  const Node& list = *read.root->find("b");
  REQUIRE(list.kind == Node::Kind::list);
  REQUIRE(list.entries.size() == 2);
  CHECK(list.entries[1].value->text == "y");
  CHECK(list.entries[1].value->quoted);
  CHECK_FALSE(list.entries[0].value->quoted);
  CHECK(list.entries[1].value->place.line == 4);
  CHECK(list.entries[1].value->place.column == 5);
  const Node& null = *read.root->find("c")->find("d");
  CHECK(null.kind == Node::Kind::null);
  CHECK(null.place.line == 5);
  CHECK(null.place.column == 5);  // the key's: nothing was written
}

TEST_CASE("an empty text is a null") {
  const std::string text = GENERATE("", "# only a comment\n", "---\n", "~");
  const Read read(text);
  REQUIRE(read.root != nullptr);
  CHECK(read.root->kind == Node::Kind::null);
  CHECK(read.messages().empty());
}

TEST_CASE("a key that is given twice is an error at its second place") {
  CHECK(Read("a: 1\nb: 2\na: 3\n").messages() == "3:1 \"a\" is given twice; first in line 1\n");
  std::string many;
  for (int i = 0; i < 50; ++i) many += "k" + std::to_string(i) + ": 1\n";
  CHECK(Read(many).messages().empty());
  CHECK(Read(many + "k0: 2\nk49: 2\n").messages() ==
        "51:1 \"k0\" is given twice; first in line 1\n52:1 \"k49\" is given twice; first in line 50\n");
}

TEST_CASE("text that is not YAML is an error at its place") {
  struct Case {
    const char* text;
    const char* message;
  };
  const auto [text, message] = GENERATE(values<Case>({
      {"a: b\n c: d\n", "2:3 not valid YAML: illegal map value\n"},
      {"a:\n\tb: 1\n", "2:3 not valid YAML: illegal map value; indent with spaces, never with tabs\n"},
      {"a: [1,\n", "2:1 not valid YAML: end of sequence flow not found\n"},
      {"a: *x\n", "1:4 not valid YAML: the referenced anchor is not defined\n"},
      {"a: 1\n---\nb: 2\n", "2:1 not valid YAML: a second document begins here; only one is read\n"},
      {"[1]: 2\n", "1:1 not valid YAML: a key must be a plain word\n"},
      {"a: &x b\n*x : c\n", "2:1 not valid YAML: an alias cannot be a key here\n"},
      {": 1\n", "1:1 not valid YAML: a key is missing here\n"},
  }));
  CAPTURE(text);
  const Read read(text);
  CHECK(read.root == nullptr);
  CHECK(read.messages() == message);
}

TEST_CASE("an alias stands for what its anchor names") {
  const Read read("a: &x {b: 1}\nc: *x\n");
  REQUIRE(read.root != nullptr);
  CHECK(read.root->find("c")->find("b")->text == "1");
}

TEST_CASE("what aliases stand for is bounded") {
  std::string laughs = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n";
  for (int i = 1; i < 20; ++i) {
    const std::string before = "*a" + std::to_string(i - 1);
    laughs += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [";
    for (int j = 0; j < 9; ++j) laughs += (j == 0 ? "" : ", ") + before;
    laughs += "]\n";
  }
  const Read read(laughs);
  CHECK(read.root == nullptr);
  CHECK_THAT(read.messages(), Catch::Contains("the aliases of this file stand for too much"));
  CHECK(read.tree.size() < 1000);
}

TEST_CASE("an alias inside of its own anchor is refused") {
  const Read read("a: &x [*x]\n");
  CHECK(read.root == nullptr);
  CHECK(read.messages() == "1:8 not valid YAML: this alias stands inside of what it names\n");
}

TEST_CASE("depth and number of values are bounded") {
  std::string nested;
  for (int i = 0; i < 40; ++i) nested += "- ";
  const Read deep(nested + "x\n");
  CHECK(deep.root == nullptr);
  CHECK_THAT(deep.messages(), Catch::Contains("more than 32 levels deep"));
  const Read many("[1, 2, 3, 4]", {.nodes = 4});
  CHECK(many.root == nullptr);
  CHECK(many.messages() == "1:11 not valid YAML: the configuration has more than 4 values\n");
}
