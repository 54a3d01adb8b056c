// file.hpp - the file that halfclose-server sends: no byte of it goes out that the file did not hold, whatever is done to
// it meanwhile.
#pragma once
#include "../program.hpp"

#include <sys/stat.h>

#include <string_view>

class File {
    static inline char block_[256 * 1024];  // one file at a time is read
    std::string name_;                      // for messages
    tcp::Descriptor file_;
    size_t size_ = 0, block_size_ = sizeof block_, start_ = 0, length_ = 0;  // of what block_ holds

    [[noreturn]] void fail(const char* call, const char* why) const {
        throw std::runtime_error(call + (" " + name_) + ": " + why);
    }
    struct stat status() const {
        struct stat now;
        if (fstat(file_.fd(), &now)) tcp::fail("stat " + name_);
        return now;
    }
    // pread(2), and not mmap(2) or sendfile(2): both show the network what becomes of the file later. truncate(2) makes
    // the file shorter first and then writes zeros over the rest of its last page; so whoever may have read these zeros
    // finds the file shorter afterwards.
    void read(size_t from) {
        start_ = from;
        length_ = std::min(block_size_, size_ - from);
        for (size_t done = 0; done < length_;) {
            ssize_t n = pread(file_.fd(), block_ + done, length_ - done, off_t(from + done));
            if (n < 0) tcp::fail("read " + name_);
            if (n == 0) fail("read", "it has shrunk");
            done += n;
        }
        check_size();
    }

public:
    explicit File(const std::string& path) : name_(tcp::printable(path.data(), path.size(), 400)) {
        name_ = name_.substr(1, name_.rfind('"') - 1);
        file_ = tcp::Descriptor(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));  // a FIFO would make us wait
        if (file_.fd() < 0) tcp::fail("open " + name_);
        if (!S_ISREG(status().st_mode)) fail("open", "not a regular file");
        size_ = status().st_size;
        char byte;  // the last one, or, in /proc, the first one of a file that says it has none
        ssize_t n = pread(file_.fd(), &byte, 1, size_ > 0 ? off_t(size_ - 1) : 0);
        if (n < 0) tcp::fail("read " + name_);
        if (n != (size_ > 0)) fail("open", "its size is not the one that it says");
    }
    /// As it was when the file was opened.
    size_t size() const { return size_; }
    /// Throws if the file is shorter now.
    void check_size() const {
        if (size_t(status().st_size) < size_) fail("read", "it has shrunk");
    }
    /// What is to be read at once: a chunk, 256 KiB at most, or as many whole ones as 64 KiB hold, which are in the
    /// processor's cache when they are sent.
    void read_chunks_of(size_t chunk, bool ahead) {
        size_t fit = std::max<size_t>(1, ahead ? 64 * 1024 / chunk : 1);
        block_size_ = std::min(sizeof block_, fit * chunk);
    }
    /// The bytes from `from` on, `most` or, where the block that was read ends, fewer. Throws if the file has no more.
    std::string_view bytes(size_t from, size_t most) {
        if (from < start_ || from >= start_ + length_) read(from);
        return {block_ + (from - start_), std::min(most, start_ + length_ - from)};
    }
};
