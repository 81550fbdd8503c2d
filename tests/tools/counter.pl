#!/usr/bin/perl
# SPDX-License-Identifier: MIT
# counter.pl PORT [WHAT]: answers each HTTP request with a number, one more than the last (/peek: the last one again).
# WHAT it holds meanwhile: "uring": a descriptor of a kind that CRIU cannot dump; "memory": 32 MB, of which each request
# changes a byte.
use strict;
use warnings;
use IO::Select;
use Socket;

my ($port, $what) = (@ARGV, '');
my ($n, %in, $held) = (0);
if ($what eq 'uring') {
	my $room = "\0" x 256;
	syscall(425, 1, $room) >= 0 or die "io_uring: $!\n";    # the same number on all architectures
}
if ($what eq 'memory') { $held = join '', map { pack('Q', $_ + time) x 512 } 1 .. 8192 }
socket(my $s, PF_INET, SOCK_STREAM, 0) or die "$!\n";
setsockopt($s, SOL_SOCKET, SO_REUSEADDR, 1);
bind($s, sockaddr_in($port, INADDR_ANY)) && listen($s, 5) or die "$!\n";
my $all = IO::Select->new($s);
while (1) {
	for my $c ($all->can_read) {
		if ($c == $s) {
			accept(my $new, $s) or next;
			$in{$new} = '';
			$all->add($new);
			next;
		}
		if (!sysread $c, $in{$c}, 4096, length $in{$c}) {
			$all->remove($c);
			next;
		}
		while ($in{$c} =~ s/^(.*?)\r\n\r\n//s) {
			my $body = ($1 =~ m{^GET /peek } ? $n : ++$n) . "\n";
			syswrite $c, "HTTP/1.1 200 OK\r\nContent-Length: " . length($body) . "\r\n\r\n$body";
			substr($held, int rand length $held, 1) = 'x' if $what eq 'memory';
		}
	}
}
