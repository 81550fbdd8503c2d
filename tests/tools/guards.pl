#!/usr/bin/perl
# SPDX-License-Identifier: MIT
# guards.pl PORT: has pages of x. For each line over TCP it puts guards (madvise(2)) over two more of them, and takes one away again;
# says what is in all those, each with the page behind them.
use strict;
use warnings;
use Errno 'EFAULT';
use IO::Socket::INET;
use POSIX 'uname';

my ($mmap, $madvise, $read, $write) = (uname)[4] eq 'aarch64' ? (222, 233, 63, 64) : (9, 28, 0, 1);
my ($page, $pages) = (4096, 64);
my $memory = syscall($mmap, 0, $pages * $page, 3, 0x22, -1, 0);
die "mmap: $!\n" if $memory == -1;
pipe(my $out, my $in) or die "pipe: $!\n";

sub guard { # PAGE ADVICE
	syscall($madvise, $memory + $_[0] * $page, $page, $_[1]) == 0 or die "madvise: $!\n";
}

sub held { # PAGE: its first byte
	return $! == EFAULT ? 'guard' : "$!" if syscall($write, fileno $in, $memory + $_[0] * $page, 1) != 1;
	sysread($out, my $byte, 1);
	return $byte eq "\0" ? 'zero' : $byte;
}

for my $i (0 .. $pages - 1) {
	syswrite($in, 'x' x $page);
	syscall($read, fileno $out, $memory + $i * $page, $page) == $page or die "read: $!\n";
}
my $listener = IO::Socket::INET->new(LocalPort => $ARGV[0], Listen => 4, ReuseAddr => 1) or die "$@\n";
while (my $conn = $listener->accept) {
	for (my $i = 0; defined(my $line = <$conn>); $i += 3) {
		guard($i, 102);
		guard($i + 1, 102);
		guard($i, 103);
		print $conn join(' ', map { held($_) } 0 .. $i + 2), "\n";
	}
}
