// A doubly linked list whose links live in the elements: no allocation, O(1) removal by the element itself.
// The list owns nothing. An element leaves its list when it is destroyed, so a dangling link cannot exist.
#pragma once

#include <cstddef>

#include "base/assert.h"

namespace sluice {

/// Derive from ListNode<Tag> once for each list that an element can be in at the same time.
template <typename Tag>
class ListNode {
 public:
  ListNode() = default;
  ListNode(const ListNode&) = delete;
  ListNode& operator=(const ListNode&) = delete;
  ~ListNode() { unlink(); }

  [[nodiscard]] bool linked() const { return next_ != nullptr; }
  void unlink() {
    if (next_ == nullptr) return;
    prev_->next_ = next_;
    next_->prev_ = prev_;
    next_ = prev_ = nullptr;
  }

 private:
  template <typename T, typename>
  friend class IntrusiveList;
  ListNode* next_ = nullptr;
  ListNode* prev_ = nullptr;
};

template <typename T, typename Tag>
class IntrusiveList {
 public:
  IntrusiveList() { head_.next_ = head_.prev_ = &head_; }
  IntrusiveList(const IntrusiveList&) = delete;
  IntrusiveList& operator=(const IntrusiveList&) = delete;
  ~IntrusiveList() {
    while (!empty()) head_.next_->unlink();
  }

  class Iterator {
   public:
    explicit Iterator(ListNode<Tag>* node) : node_(node) {}
    T& operator*() const { return *from(node_); }
    Iterator& operator++() {
      node_ = node_->next_;
      return *this;
    }
    friend bool operator==(const Iterator&, const Iterator&) = default;

   private:
    ListNode<Tag>* node_;
  };
  /// For loops that neither add nor remove elements.
  [[nodiscard]] Iterator begin() { return Iterator(head_.next_); }
  [[nodiscard]] Iterator end() { return Iterator(&head_); }

  [[nodiscard]] bool empty() const { return head_.next_ == &head_; }
  T& front() { return (SL_ASSERT(!empty()), *from(head_.next_)); }
  T& back() { return (SL_ASSERT(!empty()), *from(head_.prev_)); }
  void push_front(T& item) { insert_after(&head_, &item); }
  void push_back(T& item) { insert_after(head_.prev_, &item); }
  T& pop_front() {
    T& item = front();
    static_cast<ListNode<Tag>&>(item).unlink();
    return item;
  }
  /// Moves every element of `other` to the end of this list, in order. O(1).
  void take_all(IntrusiveList& other) {
    if (other.empty()) return;
    ListNode<Tag>*first = other.head_.next_, *last = other.head_.prev_;
    other.head_.next_ = other.head_.prev_ = &other.head_;
    first->prev_ = head_.prev_;
    head_.prev_->next_ = first;
    last->next_ = &head_;
    head_.prev_ = last;
  }

 private:
  static T* from(ListNode<Tag>* node) { return static_cast<T*>(node); }
  void insert_after(ListNode<Tag>* at, ListNode<Tag>* node) {
    SL_ASSERT(!node->linked());
    node->next_ = at->next_;
    node->prev_ = at;
    at->next_->prev_ = node;
    at->next_ = node;
  }
  ListNode<Tag> head_;
};

}  // namespace sluice
