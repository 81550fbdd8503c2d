# SPDX-License-Identifier: MIT
# What the clients share: one TCP connection for their whole life, and an end when stdin ends.
package client;
use strict;
use warnings;
use Exporter 'import';
use IO::Select;
use IO::Socket::INET;
our @EXPORT = qw(connect_to say_to read_line read_bytes read_some asked_to_end);
$| = 1;

my ($s, $buf) = (undef, '');
my $stdin = IO::Select->new(\*STDIN);

sub connect_to {
	my ($host, $port) = @_;
	$s = IO::Socket::INET->new(PeerAddr => $host, PeerPort => $port) or die "cannot connect: $!\n";
	$s->setsockopt(6, 1, 1);    # TCP_NODELAY
}

sub say_to {
	my $text = join '', @_;
	while (length $text) {
		my $n = syswrite($s, $text) // die "connection lost: $!\n";
		substr $text, 0, $n, '';
	}
}

# Up to n bytes of what comes; nothing at its end.
sub read_some {
	my $n = shift;
	length $buf or defined sysread($s, $buf, $n) or die "connection lost: $!\n";
	return substr $buf, 0, $n, '';
}

sub more {
	my $n = sysread($s, $buf, 65536, length $buf) // die "connection lost: $!\n";
	die "connection closed\n" if !$n;
}

sub read_line {
	my $at;
	more() while ($at = index $buf, "\r\n") < 0;
	my $text = substr $buf, 0, $at, '';
	substr $buf, 0, 2, '';
	return $text;
}

sub read_bytes {
	my $n = shift;
	more() while length $buf < $n;
	return substr $buf, 0, $n, '';
}

sub asked_to_end { return scalar $stdin->can_read(0) }

1;
