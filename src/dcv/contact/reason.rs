//! What the stable reason codes of a listing mean, in words that say what to do next.

/// A reason in both languages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Explanation {
    /// In English.
    pub en: &'static str,
    /// In Japanese.
    pub ja: &'static str,
}

macro_rules! reasons {
    ($($code:literal: $en:literal, $ja:literal;)*) => {
        /// Every code there is.
        pub const CODES: &[&str] = &[$($code),*];

        /// What a code means; `None` for one that is not ours.
        #[must_use]
        pub fn explain(code: &str) -> Option<Explanation> {
            match code {
                $($code => Some(Explanation { en: $en, ja: $ja }),)*
                _ => None,
            }
        }
    };
}

reasons! {
    // DNS
    "no-record": "no record is published; publish the address at the name asked", "レコードがありません。照会した名前にアドレスを公開してください";
    "no-data": "the name exists without such a record", "名前はありますが、この種類のレコードがありません";
    "nxdomain": "the name does not exist", "名前が存在しません";
    "no-contactemail": "there are CAA records, but none holds contactemail", "CAAレコードはありますが、contactemailがありません";
    "doubled-name": "the record stands under the domain written twice; end its name with a dot in the zone file", "ドメイン名が二重になった名前にレコードがあります。ゾーンファイルの名前の末尾にピリオドを付けてください";
    "servfail": "the name server failed, or a validating one hides a bogus answer", "ネームサーバーがエラーを返しました(DNSSEC検証の失敗を含みます)";
    "timeout": "no answer came in time; try again later", "時間内に応答がありませんでした。しばらくしてからお試しください";
    "dns-error": "the name server refused or answered with an error", "ネームサーバーが拒否またはエラーを返しました";
    "dnssec-bogus": "DNSSEC proves the answer false; mend the zone's signatures", "DNSSECの検証に失敗しました。ゾーンの署名を確認してください";
    "dnssec-required": "the profile demands DNSSEC validation, which is switched off here", "プロファイルがDNSSEC検証を求めていますが、無効に設定されています";
    "dnssec-indeterminate": "DNSSEC could not be decided, and the profile demands that it is", "DNSSECの状態を判定できませんでした(プロファイルが検証を求めています)";
    "too-many-records": "the record set is too large to be believed", "レコードの数が多すぎます";
    // addresses
    "empty": "the value is empty", "値が空です";
    "too-long": "the value is longer than an address may be", "アドレスとして長すぎます";
    "white-space": "the value holds a blank or control character; publish the bare address", "空白または制御文字が含まれています。アドレスのみを公開してください";
    "at-sign": "the value is not one address: it needs exactly one at sign", "アドレスではありません(@が1つ必要です)";
    "bad-local-part": "the part before the at sign may not hold such characters", "@より前の部分に使えない文字があります";
    "quoted-local-part": "a quoted local part is not accepted", "引用符付きのローカル部は使えません";
    "quotes": "quotation marks are part of the value; publish the bare address", "値に引用符が含まれています。アドレスのみを公開してください";
    "token": "the value is a verification token of another service, not an address", "値は他サービスの確認用トークンで、アドレスではありません";
    "several-addresses": "the value holds several addresses; publish one record for each", "複数のアドレスが含まれています。1レコードに1アドレスで公開してください";
    "display-name": "the value holds a name besides the address; publish the bare address", "名前などが付いています。アドレスのみを公開してください";
    "mailto": "the value begins with mailto:; publish the bare address", "mailto:で始まっています。アドレスのみを公開してください";
    "not-utf8": "the value is not UTF-8 text", "UTF-8の文字列ではありません";
    "address-literal": "an IP address is not accepted as the domain", "@より後にIPアドレスは使えません";
    "bad-domain": "the part after the at sign is not a domain name", "@より後がドメイン名ではありません";
    "bad-presentation": "the record data cannot be read", "レコードの値を読み取れません";
    // registration data
    "no-email": "the registration shows no e-mail address of a contact that counts", "登録情報に対象となる担当者のメールアドレスがありません";
    "redacted": "the registration hides the address; lift the privacy protection", "登録情報が非公開です。公開に切り替えてください";
    "web-form": "the registration shows a web form instead of an address", "登録情報にはアドレスの代わりにフォームのURLがあります";
    "bad-email": "the registration's address cannot be read as one", "登録情報のメールアドレスが正しい形式ではありません";
    "privacy-proxy": "the address belongs to a privacy service", "プライバシー代理サービスのアドレスです";
    "shared-redaction": "the registrar shows this one address for every hidden registration", "登録事業者が非公開の全ドメインに共通で示すアドレスです";
    "replaced-address": "the registry says that it replaced the address", "レジストリが置き換えたアドレスです";
    "whois-rdap-disagree": "WHOIS and RDAP name different addresses for this role", "WHOISとRDAPでこの役割のアドレスが異なります";
    "rdap-answered": "not asked: RDAP answered", "RDAPで回答を得たため照会していません";
    "not-found": "the registry does not know the name", "レジストリに登録がありません";
    "reserved": "the name is reserved", "予約されたドメイン名です";
    "suspended": "the registration is suspended or deleted", "登録が停止または廃止されています";
    "rate-limited": "the server asks to be left alone for a while; try again later", "照会の回数制限を受けています。しばらくしてからお試しください";
    "gone": "the service was shut down", "サービスは終了しています";
    "referral": "the answer names another server and nothing else", "別のサーバーの案内のみでした";
    "error": "the answer cannot be read", "応答を読み取れません";
    "unreadable-answer": "the answer has a layout that is not known", "応答の形式が不明です";
    "undecodable": "the answer's character set cannot be told", "応答の文字コードを判別できません";
    "other-name": "the answer is about another name", "別の名前についての応答です";
    "other-object": "the answer is about something else than a domain", "ドメイン以外についての応答です";
    "other-media-type": "the server's answer is not RDAP; it may be a web page", "サーバーの応答がRDAPではありません";
    "other-layout": "the answer's layout does not fit the kind of name", "ドメインの種別と応答の形式が合いません";
    "doubled-field": "the answer holds a field twice that may stand once", "1つのはずの項目が重複しています";
    "truncated": "the answer was cut off within an address or a server's name", "応答がアドレスまたはサーバー名の途中で終わっています";
    "bad-handle": "the answer names a contact handle that is none", "担当者ハンドルの形式が正しくありません";
    "handle-not-found": "the contact handle is not known", "担当者ハンドルが見つかりません";
    "handle-mismatch": "the answer is about another contact handle", "別の担当者ハンドルについての応答です";
    "one-domain-answer-needed": "exactly one of the answers must be the domain's", "ドメインの応答を1つだけ指定してください";
    "malformed-contact": "a contact in the answer cannot be read", "応答の連絡先を読み取れません";
    "referral-refused": "the server that the answer names is no plain host name", "応答が示すサーバー名が正しくありません";
    "no-whois-server": "the top-level domain has no WHOIS server", "このTLDにはWHOISサーバーがありません";
    "no-rdap-service": "the top-level domain has no RDAP service", "このTLDにはRDAPサービスがありません";
    "no-bootstrap": "the RDAP bootstrap registry cannot be read", "RDAPブートストラップを読み取れません";
    "bad-bootstrap": "the RDAP bootstrap registry is not what it should be", "RDAPブートストラップの形式が正しくありません";
    "server-unresolved": "the server's name does not resolve", "サーバー名を解決できません";
    "server-address-forbidden": "the server's address is not a public one", "サーバーのアドレスが公開アドレスではありません";
    "connection-failed": "the server could not be asked", "サーバーに接続できませんでした";
    "deadline": "the time for all sources together was over", "全体の制限時間を超えました";
    // rules and policy
    "method-must-not": "the Baseline Requirements forbid the method on this day", "この日付ではBaseline Requirementsにより使用できない方式です";
    "mpic-not-available": "the address would have to be corroborated from other network perspectives, which nobody does here", "複数拠点からの確認(MPIC)が行われないため使用できません";
    "adn-refused": "policy refuses constructed addresses at this domain", "運用方針により、このドメインの定型アドレスは使えません";
}

/// Those that say that a registration does not show the address of whoever could be asked.
pub const HIDING: [&str; 6] = ["no-email", "privacy-proxy", "redacted", "replaced-address", "shared-redaction", "web-form"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hides_an_address_is_among_the_codes() {
        assert!(HIDING.iter().all(|code| CODES.contains(code)));
    }

    #[test]
    fn every_code_is_lower_case_with_hyphens_and_stands_once() {
        let mut seen = std::collections::HashSet::new();
        for code in CODES {
            assert!(code.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'), "{code}");
            assert!(seen.insert(code), "{code}");
            assert!(explain(code).is_some());
        }
        assert_eq!(explain("no-such-code"), None);
    }
}
