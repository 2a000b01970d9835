"""What the texts say: words of some languages, and the phrases that receipts, forms and signs are made of."""

from functools import cached_property

import numpy as np

from ppdet_db.data.synthetic.chance import happens, pick, weighted

ASCII = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 .,:;-+/()#%&*@=!?$'\"<>[]_€£"
"""Every face must have these, whatever the language: prices, dates and codes are written with them everywhere."""

WORDS = {
    "english": """
        bread butter milk coffee tea sugar rice noodle chicken beef salmon soup salad garlic onion tomato apple orange
        lemon banana cheese yoghurt honey chocolate biscuit water juice beer wine battery cable lamp screw paint brush
        glove hammer paper pencil folder envelope stapler shirt jacket shoes towel soap shampoo candle flower garden
        market street station bridge river hotel office school library museum theatre airport parking exit entrance
        open closed sale discount total price amount quantity cash change card tax invoice receipt number date name
        address customer service manager cashier table order account payment balance signature department company
        please thank you welcome again visit our new fresh best quality original large small medium daily free special
        never always under over between about north south east west green blue red white black golden silver city
        the and for with from this that are not all any can may will more than only before after each per
        information agreement report product research result project director example general national international
    """,
    "german": """
        Straße Brötchen Käse Müsli Apfelsaft Bäckerei Frühstück Kaffee Rechnung Bahnhof Ausgang Öffnungszeiten heute
        geschlossen Angebot Schlüssel Größe Gemüse Kartoffeln Wurst Bürgersteig Apotheke Zeitung Bücher Fahrräder
        Quittung Betrag Summe danke schön für und nicht über täglich Übergang Grüße Mehrwertsteuer
    """,
    "french": """
        boulangerie pâtisserie café thé crème brûlée fromage légumes marché réduction prix total reçu merci à bientôt
        fermé ouvert sortie entrée hôtel château forêt élève école librairie façade garçon où déjà très être août
        montant espèces carte numéro adresse société dîner œuf bœuf
    """,
    "spanish": """
        panadería café leche azúcar jamón queso niño señor mañana calle avenida plaza salida cerrado abierto cocina
        factura número teléfono dirección gracias teatro música artículo precio cantidad según está más también año
    """,
    "portuguese": """
        pão açúcar maçã limão feijão coração saída praça estação avenida preço não também obrigado promoção mercearia
        cartão troco número endereço telefone câmara água português lição
    """,
    "italian": """
        caffè città perché più università gelato pomodoro formaggio panetteria farmacia uscita ingresso chiuso aperto
        scontrino totale grazie prezzo quantità indirizzo pizzeria trattoria libreria così però
    """,
    "polish": """
        sklep żywność chleb mleko ser jabłko śliwka gęś źródło łódź ulica dworzec wyjście wejście zamknięte otwarte
        rachunek paragon dziękujemy kwota gotówka książka święto będzie można różne część
    """,
    "czech": """
        pekařství káva čaj mléko rohlík sýr brambory zelenina ulice náměstí východ vchod zavřeno otevřeno účtenka
        děkujeme cena částka hotově řeka příští šťastný úterý dům kůň
    """,
    "turkish": """
        ekmek peynir süt çay şeker balık köfte çarşı sokağı cadde çıkış giriş kapalı açık fiş toplam teşekkürler
        müşteri ürün ücret gıda ağaç güneş İstanbul ışık
    """,
    "vietnamese": """
        bánh mì phở bò gà cà phê sữa đá nước mắm đường chợ nhà hàng quán ăn cửa ra vào mở đóng hóa đơn tổng cộng
        cảm ơn quý khách giá tiền mặt số điện thoại
    """,
    "russian": """
        хлеб молоко сыр масло кофе чай сахар яблоко рыба мясо улица площадь вокзал выход вход открыто закрыто магазин
        аптека книги цветы касса итого сумма наличные сдача спасибо за покупку скидка цена счёт адрес телефон
        объект ещё жизнь вещь юг школа
    """,
    "ukrainian": """
        хліб молоко сир їжа кава чай вулиця площа вихід вхід відчинено зачинено крамниця аптека квіти каса сума готівка
        дякуємо знижка ціна чек адреса ґанок єдність
    """,
    "greek": """
        ψωμί γάλα τυρί καφές τσάι ζάχαρη μήλο ψάρι κρέας οδός πλατεία σταθμός έξοδος είσοδος ανοιχτό κλειστό φαρμακείο
        βιβλία λουλούδια ταμείο σύνολο ποσό μετρητά ρέστα ευχαριστούμε έκπτωση τιμή διεύθυνση
    """,
    "chinese": """
        面包 牛奶 咖啡 绿茶 白糖 大米 面条 鸡肉 牛肉 苹果 香蕉 水果 超市 商店 书店 药店 银行 饭店 酒店 餐厅 学校 医院
        车站 机场 街道 广场 公园 大厦 出口 入口 营业中 小心地滑 禁止吸烟 请勿停车 欢迎光临 谢谢惠顾 合计 现金 找零
        单价 数量 金额 日期 电话 地址 北京 上海 广州 南京 东方 中国 科学 研究 公司 有限公司 服务 中心 办公室 招待所
        三号楼 停车场 收银台 打折 特价 新鲜 优惠 中华 人民 大学 图书馆 發票 總計 電話 銀行 飯店 歡迎 麵包
    """,
    "japanese": """
        ラーメン うどん コーヒー お茶 ビール 寿司 天ぷら パン 牛乳 りんご 駅 出口 入口 営業中 薬局 本屋 喫茶店 居酒屋
        合計 現金 お釣り 領収書 電話番号 いらっしゃいませ ありがとうございます 東京 京都 大阪 新宿 割引 禁煙 受付
    """,
    "korean": """
        빵 우유 커피 녹차 설탕 쌀 국수 닭고기 사과 식당 약국 서점 은행 학교 병원 출구 입구 영업중 감사합니다 합계 현금
        거스름돈 전화 주소 서울 부산 할인 금연 안내 주차장 어서오세요
    """,
}
SPACELESS = ("chinese", "japanese")
COMMONNESS = {
    "english": 12, "german": 1, "french": 1, "spanish": 1, "portuguese": 0.6, "italian": 0.6, "polish": 0.6,
    "czech": 0.6, "turkish": 0.6, "vietnamese": 0.6, "russian": 1, "ukrainian": 0.4, "greek": 0.8, "chinese": 5,
    "japanese": 1, "korean": 1,
}  # fmt: skip
NOTES = ("TEL", "FAX", "GST NO", "REG NO", "VAT ID", "INVOICE NO", "BILL NO", "RECEIPT", "CASHIER", "TERMINAL",
         "TABLE", "ORDER", "REF", "ACCOUNT", "BATCH", "STAFF", "COUNTER", "MEMBER ID", "TRANS",
         "SALES", "PAX")  # fmt: skip
TOTALS = ("TOTAL", "SUBTOTAL", "GRAND TOTAL", "NET TOTAL", "CASH", "CHANGE", "ROUNDING ADJ", "DISCOUNT", "GST 6%",
          "SERVICE TAX 10%", "AMOUNT DUE", "TOTAL QTY", "VISA CARD", "TOTAL SALES (INCLUSIVE OF GST)", "TENDER",
          "TOTAL EXCL. TAX", "BALANCE", "TOTAL SAVING")  # fmt: skip
CURRENCIES = ("", "", "", "", "RM", "$", "EUR ", "€", "£", "USD ")
ROADS = ("Street", "Road", "Avenue", "Lane", "Jalan", "Taman", "Lorong", "Plaza", "Square", "Boulevard", "Drive")
COMPANIES = ("SDN BHD", "LTD", "INC.", "& CO", "TRADING", "ENTERPRISE", "GMBH", "S.A.", "STORE", "MART", "CAFE",
             "RESTAURANT", "HARDWARE", "STATIONERY", "BAKERY", "PHARMACY")  # fmt: skip
LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"


class Phrases:
    """Makes up texts in one language.

    Args:
        rng: of the picture.
        language: a key of WORDS.
    """

    def __init__(self, rng: np.random.Generator, language: str):
        self.rng = rng
        self.language = language
        self.vocabulary = WORDS[language].split()

    @cached_property
    def alphabet(self) -> frozenset[str]:
        """Every character that may occur: what a face must have to write this language."""
        return alphabet(self.language)

    def words(self, low: int, high: int) -> str:
        """`low` to `high` words of the vocabulary in one case. In a script without spaces they stand side by side."""
        drawn = [pick(self.rng, self.vocabulary) for _ in range(int(self.rng.integers(low, high + 1)))]
        if self.language in SPACELESS:
            return "".join(drawn)
        return self._cased(" ".join(drawn))

    def _cased(self, words: str) -> str:
        case = weighted(self.rng, {"upper": 0.45, "title": 0.3, "capital": 0.15, "as it is": 0.1})
        if case == "upper":
            return words.upper()
        if case == "title":
            return " ".join(word[:1].upper() + word[1:] for word in words.split())
        return words[:1].upper() + words[1:] if case == "capital" else words

    def sentence(self, low: int, high: int) -> str:
        """Running text: lower case with commas, now and then a number, and a full stop."""
        if self.language in SPACELESS:
            return self.words(low, high) + "。"
        drawn = []
        for _ in range(int(self.rng.integers(low, high + 1))):
            word = self.digits(1, 4) if happens(self.rng, 0.05) else pick(self.rng, self.vocabulary)
            drawn.append(word + ("," if happens(self.rng, 0.1) else ""))
        text = " ".join(drawn)
        return text[:1].upper() + text[1:].rstrip(",") + "."

    def digits(self, low: int, high: int) -> str:
        return "".join(str(d) for d in self.rng.integers(0, 10, int(self.rng.integers(low, high + 1))))

    def price(self) -> str:
        whole = int(10 ** self.rng.uniform(0, 3.3))
        return f"{'-' if happens(self.rng, 0.03) else ''}{whole}.{int(self.rng.integers(100)):02d}"

    def amount(self) -> str:
        """A price with its currency, or the tax letter that many tills print behind it."""
        tail = pick(self.rng, (" S", " SR", " T", " Z")) if happens(self.rng, 0.1) else ""
        return pick(self.rng, CURRENCIES) + self.price() + tail

    def date(self) -> str:
        day, month, year = (int(self.rng.integers(1, n)) for n in (29, 13, 30))
        return pick(self.rng, (
            f"{day:02d}/{month:02d}/20{year:02d}",
            f"{day:02d}-{month:02d}-{year:02d}",
            f"20{year:02d}-{month:02d}-{day:02d}",
            f"{day}.{month}.20{year:02d}",
            f"{day:02d} {pick(self.rng, ('Jan', 'Mar', 'Apr', 'May', 'Oct', 'Dec'))} 20{year:02d}",
        ))  # fmt: skip

    def time(self) -> str:
        hour, minute, second = (int(self.rng.integers(n)) for n in (24, 60, 60))
        if happens(self.rng, 0.3):
            return f"{hour % 12 or 12}:{minute:02d} {'AM' if hour < 12 else 'PM'}"
        return f"{hour:02d}:{minute:02d}" + (f":{second:02d}" if happens(self.rng, 0.6) else "")

    def phone(self) -> str:
        form = pick(self.rng, ("03-{} {}", "({}) {}", "+60 {}-{}", "{}-{}", "0{} / {}"))
        return form.format(self.digits(3, 4), self.digits(4, 5))

    def code(self) -> str:
        """An article or invoice number."""
        prefix = "".join(pick(self.rng, LETTERS) for _ in range(int(self.rng.integers(0, 4))))
        return prefix + pick(self.rng, ("", "", "-", "/")) * bool(prefix) + self.digits(4, 12)

    def address(self) -> str:
        road = f"{self.words(1, 2)} {pick(self.rng, ROADS)}"
        return pick(self.rng, (
            f"No. {self.digits(1, 3)}, {road}",
            f"{self.digits(5, 5)} {self.words(1, 2)}",
            f"{self.digits(1, 2)} {road},",
            f"Lot {self.digits(1, 4)}, {road}, {self.digits(5, 5)}",
            f"{road} {self.digits(1, 2)}/{self.digits(1, 2)},",
        ))  # fmt: skip

    def company(self) -> str:
        return f"{self.words(1, 2)} {pick(self.rng, COMPANIES)}"

    def link(self) -> str:
        name = pick(self.rng, WORDS["english"].split()) + pick(self.rng, WORDS["english"].split())
        return pick(self.rng, (f"www.{name}.com", f"info@{name}.org", f"http://{name}.net/{self.digits(1, 3)}"))

    def note(self) -> str:
        """`TEL : 03-5525 0588`: a caption with its value, as one text."""
        value = pick(self.rng, (self.phone, self.code, self.date, self.code, lambda: self.words(1, 1)))()
        return f"{pick(self.rng, NOTES)}{pick(self.rng, (': ', ' : ', ' ', ':', '. : '))}{value}"

    def total(self) -> str:
        """The caption of a sum."""
        caption = pick(self.rng, TOTALS)
        if self.language != "english" and happens(self.rng, 0.6):
            caption = self.words(1, 2)
        return (caption if happens(self.rng, 0.6) else caption.title()) + pick(self.rng, ("", "", ":", " :", " (RM)"))

    def item(self) -> str:
        tail = pick(self.rng, ("", "", "", f" {self.digits(2, 3)}G", f" {self.digits(1, 2)}PCS", f" @{self.price()}",
                               f" ({self.words(1, 1)})", f" X {self.digits(1, 1)}"))  # fmt: skip
        return self.words(1, 4) + tail

    def sign(self) -> str:
        """One line of a sign: mostly one to three words, sometimes a number, price, phone or link."""
        kind = weighted(
            self.rng, {"words": 14, "phone": 1, "number": 1, "price": 1, "date": 0.6, "link": 0.4, "company": 1}
        )
        if kind == "words":
            return self.words(1, 2 if self.language in SPACELESS else 3)
        makers = {
            "phone": self.phone,
            "price": self.amount,
            "date": self.date,
            "link": self.link,
            "company": self.company,
        }
        return makers[kind]() if kind in makers else self.digits(1, 5)


def alphabet(language: str) -> frozenset[str]:
    """The characters of a language in both cases, and ASCII."""
    words = WORDS[language]
    return frozenset((words + words.upper() + words.title() + ASCII).replace("\n", "")) | (
        {"。"} if language in SPACELESS else set()
    )
