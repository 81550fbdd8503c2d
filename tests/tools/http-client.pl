#!/usr/bin/perl
# SPDX-License-Identifier: MIT
# http-client.pl get HOST PORT PATH BYTES_PER_S: one download, slow until stdin ends, then as fast as it comes.
# http-client.pl count HOST PORT PATH: GETs on one connection until stdin ends; the bodies must be 1, 2, 3
# and so on; the last one is told.
# http-client.pl times HOST PORT PATH: tells when each answer came, until stdin ends.
use strict;
use warnings;
use Digest::SHA;
use FindBin;
use lib $FindBin::Bin;
use Time::HiRes qw(sleep time);
use client;

my ($what, $host, $port, $path, $rate) = @ARGV;
connect_to($host, $port);

sub request {
	say_to("GET $path HTTP/1.1\r\nHost: $host\r\n\r\n");
	my $status = read_line();
	my ($line, $length) = ('');
	while (length($line = read_line())) {
		$length = $1 if $line =~ /^content-length: (\d+)$/i;
		die "the server ends the connection\n" if $line =~ /^connection: close/i;
	}
	die "$status\n" if $status !~ m{^HTTP/1.1 200 };
	return $length // die "no length\n";
}

sub get {
	my $left = request();
	my $sum = Digest::SHA->new(256);
	my ($start, $got, $slow) = (time, 0, 1);
	print "ready\n";
	while ($left > 0) {
		my $data = read_some(65536);
		length $data or die "connection closed, $left bytes are lacking\n";
		$left -= length $data;
		$got += length $data;
		$sum->add($data);
		while ($slow && $got > (time - $start) * $rate) {
			$slow = !asked_to_end();
			sleep 0.002;
		}
		if (!$slow && defined $start) {
			print $left > 0 ? "under way\n" : "over already\n";
			print "# $left bytes to come after the moves\n";
			$start = undef;
		}
	}
	print $sum->hexdigest, "\n";
}

sub count {
	my ($last, $gap, $n) = (0, 0, 0);
	until (asked_to_end()) {
		my $t = time;
		my $body = read_bytes(request());
		chomp $body;
		$body == ++$last or die "wanted $last, got $body\n";
		print "ready\n" if $last == 1;
		$gap = time - $t if time - $t > $gap;
		sleep 0.005;
	}
	print $last > 20 ? "no answer lost or doubled\n" : "only $last answers\n";
	print "count $last\n";
	printf "# longest gap %.0f ms\n", $gap * 1000;
}

sub times {
	until (asked_to_end()) {
		read_bytes(request());
		printf "%.6f\n", time;
		sleep 0.001;
	}
}

{ get => \&get, count => \&count, times => \&times }->{$what}->();
