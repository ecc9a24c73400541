// Aligned zeroed arrays; the large ones ask for huge pages, which random look-ups in a table are grateful for.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>
#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace nerf {

template <class T>
class Array {
   public:
    Array() = default;
    explicit Array(size_t count) : count_(count) {
        const size_t align = count * sizeof(T) > kHuge ? kHuge : 64;
        const size_t bytes = (count * sizeof(T) + 64 + align - 1) / align * align;  // 64 readable bytes beyond
        data_ = static_cast<T*>(std::aligned_alloc(align, bytes));
        if (!data_) throw std::bad_alloc();
#if defined(__linux__) && defined(MADV_HUGEPAGE)
        if (align == kHuge) madvise(data_, bytes, MADV_HUGEPAGE);
#endif
        std::memset(static_cast<void*>(data_), 0, bytes);
    }
    Array(Array&& other) noexcept { swap(other); }
    Array& operator=(Array&& other) noexcept {
        swap(other);
        return *this;
    }
    ~Array() { std::free(data_); }

    T* data() { return data_; }
    const T* data() const { return data_; }
    size_t size() const { return count_; }
    T& operator[](size_t i) { return data_[i]; }
    const T& operator[](size_t i) const { return data_[i]; }

   private:
    static constexpr size_t kHuge = size_t(2) << 20;
    void swap(Array& other) {
        std::swap(data_, other.data_);
        std::swap(count_, other.count_);
    }
    T* data_ = nullptr;
    size_t count_ = 0;
};

}  // namespace nerf
